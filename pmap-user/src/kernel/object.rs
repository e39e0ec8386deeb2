//! The eBPF object: the bytes committed beside their source, made fit for the running kernel.

/// Built by `cargo xtask ebpf`.
const OBJECT: &[u8] = aya::include_bytes_aligned!("../../../pmap-ebpf/pmap.bpf.o");

/// `call 0x7f706d61`: the place of a call of `bpf_rdonly_cast` (see `pmap-ebpf`, `kernel.rs`).
const PLACEHOLDER: [u8; 8] = [0x85, 0, 0, 0, 0x61, 0x6d, 0x70, 0x7f];
/// `BPF_PSEUDO_KFUNC_CALL` in the source register of a call.
const PSEUDO_KFUNC_CALL: u8 = 2 << 4;

/// The object with every call of the kfunc in place.
///
/// `id` is the kfunc's BTF id. Zero leaves a call that the verifier accepts only where it is never
/// reached, which is so when the configuration chooses another reader.
pub(super) fn with_kfunc(id: u32) -> Vec<u8> {
    let mut object = OBJECT.to_vec();
    // Instructions are eight bytes long and sections of instructions are so aligned.
    for instruction in object.chunks_exact_mut(8) {
        if instruction == PLACEHOLDER {
            instruction[1] = PSEUDO_KFUNC_CALL;
            instruction[4..8].copy_from_slice(&id.to_ne_bytes());
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that the committed object has the calls that the patch looks for, and that none is
    /// left behind.
    #[test]
    fn every_placeholder_is_patched() {
        let count = |bytes: &[u8], what: &[u8]| bytes.windows(8).filter(|w| *w == what).count();
        assert!(count(OBJECT, &PLACEHOLDER) > 0);
        let patched = with_kfunc(0x1234_5678);
        assert_eq!(count(&patched, &PLACEHOLDER), 0);
        let call = [0x85, PSEUDO_KFUNC_CALL, 0, 0, 0x78, 0x56, 0x34, 0x12];
        assert_eq!(count(&patched, &call), count(OBJECT, &PLACEHOLDER));
    }
}
