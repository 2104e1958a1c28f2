//! Bytes from the broker may be anyone's: whatever they are, there is an answer, and what was read is written the same.

#![no_main]

use backstitch_proto::message::{Control, Dispatch, Heartbeat, Message, Report};
use libfuzzer_sys::fuzz_target;

fn read<M: Message>(bytes: &[u8]) {
    if let Ok(message) = M::decode(bytes) {
        let again = message.encode().expect("what was read can be written");
        // Bytes and not messages are compared: a number that is none is not even equal to itself.
        let once_more =
            M::decode(&again).expect("our own bytes").encode().expect("what was read can be written");
        assert_eq!(once_more, again);
    }
}

fuzz_target!(|bytes: &[u8]| {
    read::<Dispatch>(bytes);
    read::<Report>(bytes);
    read::<Heartbeat>(bytes);
    read::<Control>(bytes);
});
