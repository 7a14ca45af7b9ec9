//! Invented shops and people.

/// (name, category). Forty shops of a small town.
pub(crate) const SHOPS: [(&str, &str); 40] = [
    ("Rosa's Bakery", "bakery"),
    ("Corner Crust", "bakery"),
    ("The Daily Loaf", "bakery"),
    ("Harbor Coffee", "cafe"),
    ("Second Cup Social", "cafe"),
    ("Blue Door Café", "cafe"),
    ("Nine Bar Espresso", "cafe"),
    ("Green Basket", "grocer"),
    ("Hill Street Market", "grocer"),
    ("Family Foods", "grocer"),
    ("The Pantry", "grocer"),
    ("Orchard & Field", "grocer"),
    ("Sunrise Grocery", "grocer"),
    ("Main Street Butcher", "butcher"),
    ("Fisher & Son", "fishmonger"),
    ("Trattoria Lucia", "restaurant"),
    ("Golden Bowl", "restaurant"),
    ("Taqueria El Faro", "restaurant"),
    ("The Brick Oven", "restaurant"),
    ("Mill Pond Diner", "restaurant"),
    ("Old Town Books", "books"),
    ("Paper Lantern", "books"),
    ("Spoke & Chain", "bikes"),
    ("Fix It Hardware", "hardware"),
    ("Nuts and Bolts", "hardware"),
    ("Garden Gate", "garden"),
    ("Bloom Flowers", "flowers"),
    ("Well Pharmacy", "pharmacy"),
    ("Main Pharmacy", "pharmacy"),
    ("Cut Above", "barber"),
    ("Studio Nine Hair", "barber"),
    ("Wag & Whisker", "pets"),
    ("Needle & Thread", "clothing"),
    ("Northside Outfitters", "clothing"),
    ("Little Steps", "clothing"),
    ("Vinyl Attic", "music"),
    ("Pixel Repair", "electronics"),
    ("Puzzle Box Toys", "toys"),
    ("Riverside Gym", "sports"),
    ("The Wine Cellar", "drinks"),
];

/// (shop, title, bonus points). A title promises nothing: the points do.
pub(crate) const OFFERS: [(usize, &str, i64); 6] = [
    (0, "Sourdough week", 60),
    (3, "Coffee break", 40),
    (7, "Fresh greens week", 80),
    (15, "Pasta night", 120),
    (20, "Local authors' corner", 50),
    (31, "Dogs are welcome", 30),
];

const FIRST: [&str; 24] = [
    "Ada", "Ben", "Carla", "Dev", "Elif", "Frank", "Grace", "Hugo", "Ines", "Jonas", "Kira", "Liam", "Mei", "Noor",
    "Omar", "Pia", "Quinn", "Rui", "Sara", "Tom", "Uma", "Vera", "Will", "Yara",
];
const LAST: [&str; 20] = [
    "Abbot", "Bell", "Costa", "Duarte", "Ellis", "Fox", "Green", "Hart", "Ito", "Jones", "Klein", "Lopez", "Moore",
    "Nair", "Olsen", "Park", "Reed", "Silva", "Tran", "Young",
];

/// An invented name for the `n`th member.
pub(crate) fn person(n: usize) -> String {
    format!("{} {}", FIRST[n % FIRST.len()], LAST[(n / FIRST.len() + n) % LAST.len()])
}
