//! A project file is written by people: whatever it says, there are definitions or problems at places that exist.

#![no_main]

use backstitch_proto::definition::Definitions;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Definitions::from_yaml("backstitch.yaml", text) {
        Ok(definitions) => {
            // Definitions travel to the ledger as JSON and come back the same.
            let json = serde_json::to_string(&definitions).expect("plain data");
            let again: Definitions = serde_json::from_str(&json).expect("our own JSON");
            assert_eq!(again.fingerprint(), definitions.fingerprint());
        }
        Err(problems) => {
            // To YAML a lone carriage return ends a line as well.
            let lines = text.split(['\n', '\r']).count();
            assert!(problems.iter().count() > 0);
            for problem in problems.iter() {
                assert!(!problem.message.is_empty());
                if let Some(at) = problem.position {
                    assert!(at.line as usize <= lines + 1, "{problem:?}");
                }
            }
        }
    }
});
