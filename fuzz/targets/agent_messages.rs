//! What agents and the control plane send each other: what is read is written, and read again as the same.
#![no_main]

use agent_protocol::{AcsMessage, AgentMessage, TelemetryAnswer, TelemetryMessage};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    macro_rules! there_and_back {
        ($($message:ty)*) => {
            $(if let Ok(message) = <$message>::decode(data) {
                let written = message.encode();
                let again = <$message>::decode(&written).expect("what was written is read");
                assert_eq!(again.encode(), written);
            })*
        };
    }
    there_and_back!(AcsMessage AgentMessage TelemetryMessage TelemetryAnswer);
});
