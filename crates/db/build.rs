//! Makes cargo embed the migrations again when one is added: a macro alone does not see new files.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
