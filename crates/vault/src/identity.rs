//! Facts about a person in one form, and their keyed digests: enough to see that two entries agree, not enough to read
//! either of them.

use ring::hmac;
use std::fmt;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::Person;

/// A phone number is told by its last digits: how a country or a trunk code is written differs from hand to hand.
const PHONE_DIGITS: usize = 9;
/// Fewer digits are no phone number.
const PHONE_DIGITS_MIN: usize = 7;

/// The key of the digests. Prints nothing of itself.
#[derive(Clone)]
pub struct IdentityKey {
    key: hmac::Key,
    id: Vec<u8>,
}

impl IdentityKey {
    /// `secret` is kept with the programme's other secrets. Another one makes all digests anew at the next start.
    pub fn new(secret: &[u8]) -> IdentityKey {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let id = hmac::sign(&key, b"which key").as_ref()[..8].to_vec();
        IdentityKey { key, id }
    }

    /// Tells keys apart and says nothing of them.
    pub(crate) fn id(&self) -> &[u8] {
        &self.id
    }

    fn digest(&self, kind: &str, fact: &str) -> Digest {
        hmac::sign(&self.key, format!("{kind}\n{fact}").as_bytes()).as_ref().to_vec()
    }

    pub(crate) fn identity(&self, person: &Person) -> Identity {
        let (name, birth_date) = (name(&person.full_name), person.birth_date.to_string());
        let contact = |kind: &str, fact: Option<String>| fact.map(|f| self.digest(kind, &f));
        Identity {
            name_and_birth: self.digest("name and birth", &format!("{name}\n{birth_date}")),
            name: self.digest("name", &name),
            birth_date: self.digest("birth", &birth_date),
            email: contact("email", email(&person.email)),
            phone: contact("phone", phone(&person.phone)),
        }
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentityKey(…)")
    }
}

pub(crate) type Digest = Vec<u8>;

/// The digests of one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub name: Digest,
    pub birth_date: Digest,
    pub name_and_birth: Digest,
    pub email: Option<Digest>,
    pub phone: Option<Digest>,
}

/// Which facts of two entries agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    pub name: bool,
    pub birth_date: bool,
    pub email: bool,
    pub phone: bool,
}

impl Agreement {
    /// The same e-mail address or phone number.
    pub fn contact(self) -> bool {
        self.email || self.phone
    }

    /// With a person who was entered in two ways: what agrees with either of them.
    pub(crate) fn or(self, other: Agreement) -> Agreement {
        Agreement {
            name: self.name || other.name,
            birth_date: self.birth_date || other.birth_date,
            email: self.email || other.email,
            phone: self.phone || other.phone,
        }
    }
}

impl Identity {
    pub fn agreement(&self, other: &Identity) -> Agreement {
        let same = |a: &Option<Digest>, b: &Option<Digest>| a.is_some() && a == b;
        Agreement {
            name: self.name == other.name,
            birth_date: self.birth_date == other.birth_date,
            email: same(&self.email, &other.email),
            phone: same(&self.phone, &other.phone),
        }
    }
}

/// Letters and digits only, without accents and case, in alphabetical order of the parts, so that `Ruiz, Ána M.` is
/// `Ana Ruiz`. A single letter counts only where the name has not two other parts.
fn name(text: &str) -> String {
    let plain: String = text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect();
    let mut parts: Vec<&str> = plain.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()).collect();
    let is_initial = |part: &&str| part.chars().count() == 1 && part.chars().all(|c| c.is_ascii_alphabetic());
    if parts.iter().filter(|part| !is_initial(part)).count() >= 2 {
        parts.retain(|part| !is_initial(part));
    }
    parts.sort_unstable();
    parts.join(" ")
}

/// In lower case, without what a mailbox ignores: `+…`, and the dots of those who say that they ignore them.
fn email(text: &str) -> Option<String> {
    let plain: String = text.trim().nfkc().flat_map(char::to_lowercase).collect();
    let (mailbox, host) = plain.rsplit_once('@')?;
    let mailbox = mailbox.split('+').next().unwrap_or_default();
    let host = if host == "googlemail.com" { "gmail.com" } else { host };
    let mailbox = if host == "gmail.com" { mailbox.replace('.', "") } else { mailbox.to_owned() };
    (!mailbox.is_empty() && !host.is_empty()).then(|| format!("{mailbox}@{host}"))
}

fn phone(text: &str) -> Option<String> {
    let digits: String = text.nfkc().filter(char::is_ascii_digit).collect();
    (digits.len() >= PHONE_DIGITS_MIN).then(|| digits[digits.len().saturating_sub(PHONE_DIGITS)..].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_in_another_way_is_the_same() {
        for (a, b) in [
            ("Ana Ruiz", " RUIZ,  Ána M. "),
            ("José Núñez", "Jose\u{301} Nu\u{303}n\u{303}ez"),
            ("O'Neil, Sean", "sean o neil"),
            ("Ｗｒｅｎ Lee", "wren lee"),
            ("김 철수", "철수 김"),
        ] {
            assert_eq!(name(a), name(b), "{a}");
        }
        for (a, b) in [("Ana Ruiz", "Ana Lopez"), ("A B", "A C"), ("Member 1", "Member 2")] {
            assert_ne!(name(a), name(b), "{a}");
        }
        for same in [" Wren.Canary+town@GMail.com", "wrencanary@googlemail.com", "wren.canary@gmail.com "] {
            assert_eq!(email(same).as_deref(), Some("wrencanary@gmail.com"));
        }
        assert_ne!(email("wren.canary@example.com"), email("wrencanary@example.com"));
        for nothing in ["", "   ", "none", "@example.com", "wren@", "+town@example.com"] {
            assert_eq!(email(nothing), None, "{nothing}");
        }
        for same in ["+1 (555) 010-0173", "001 555 010 0173", "555.010.0173", "+１ ５５５ ０１００１７３"] {
            assert_eq!(phone(same).as_deref(), Some("550100173"), "{same}");
        }
        assert_eq!(phone("+49 170 1234567"), phone("0170-1234567"));
        for nothing in ["", "n/a", "12345"] {
            assert_eq!(phone(nothing), None, "{nothing}");
        }
    }

    fn person(full_name: &str, email: &str, phone: &str) -> Person {
        let birth_date = date(1990, 5, 1);
        Person { full_name: full_name.to_owned(), email: email.to_owned(), phone: phone.to_owned(), birth_date }
    }

    #[test]
    fn digests_agree_under_one_key_and_under_no_other() {
        let (one, other) = (IdentityKey::new(b"one"), IdentityKey::new(b"other"));
        let ana = one.identity(&person("Ana Ruiz", "", ""));
        let agreement = ana.agreement(&one.identity(&person("ruiz ana", "", "")));
        assert_eq!(
            agreement,
            Agreement { name: true, birth_date: true, ..Agreement::default() },
            "nothing is no contact"
        );
        assert_eq!(ana.agreement(&other.identity(&person("Ana Ruiz", "", ""))), Agreement::default());
        assert_ne!(one.id(), other.id());
        assert_eq!(format!("{one:?}"), "IdentityKey(…)");
    }

    proptest! {
        /// However strange what was typed is, it is brought into a form, and that form is its own form.
        #[test]
        fn a_form_is_its_own_form(text in any::<String>()) {
            prop_assert_eq!(name(&name(&text)), name(&text));
            if let Some(once) = email(&text) { prop_assert_eq!(email(&once), Some(once)); }
            if let Some(once) = phone(&text) { prop_assert_eq!(phone(&once), Some(once)); }
        }
    }
}
