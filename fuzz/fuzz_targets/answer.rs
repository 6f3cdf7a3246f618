#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| steadfast::fuzzing::answer(data));
