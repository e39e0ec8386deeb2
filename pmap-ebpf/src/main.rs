//! The eBPF programs: they watch the write side of every followed `mmap_lock` and say what each
//! section leaves behind. Built for `bpfel-unknown-none` by `cargo xtask ebpf`.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod programs;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Both licences, as `include/linux/license.h` spells them: GPL-only helpers are used.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// The programs run in the kernel; on the host there is nothing to do.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
