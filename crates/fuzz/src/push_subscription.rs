//! What a browser says about its push service.

use hunch_http::fuzzing::subscription;
use hunch_messaging::push::{Endpoint, EndpointRules, UserAgentKeys, seal};

pub fn run(bytes: &[u8]) {
    match subscription(bytes) {
        Err(problem) => assert!(problem.detail.is_some(), "a refusal says why"),
        Ok(new) => {
            if let Ok(endpoint) = Endpoint::parse(&new.endpoint, EndpointRules::default()) {
                assert!(endpoint.as_str().starts_with("https://"), "pushes travel over https only");
                assert!(!endpoint.origin().is_empty());
                let again = Endpoint::parse(endpoint.as_str(), EndpointRules::default());
                assert_eq!(again.as_ref(), Ok(&endpoint), "an address we keep is one we would take");
            }
            if let Ok(keys) = UserAgentKeys::new(&new.p256dh, &new.auth) {
                // Keys that prove themselves can be sealed to; others are refused at the door.
                assert_eq!(keys.prove().is_ok(), seal(&keys, b"You earned 50 points").is_ok());
            }
        }
    }
}
