//! How much memory the program takes up, by the allocator and by the system.

use super::exposition::Exposition;

/// Bytes of a page, as Linux counts in `/proc/self/statm` on every machine we run on.
const PAGE: f64 = 4096.0;

/// Name, help, and the figure; `None` where it cannot be had.
type Figure = (&'static str, &'static str, fn() -> Option<f64>);

pub(super) fn of_memory(text: &mut Exposition) {
    // The allocator's figures are those of its last epoch.
    let _ = tikv_jemalloc_ctl::epoch::advance();
    let families: [Figure; 3] = [
        (
            "wa_sbc_memory_allocated_bytes",
            "Bytes in use, as the allocator counts them.",
            || tikv_jemalloc_ctl::stats::allocated::read().ok().map(bytes),
        ),
        (
            "wa_sbc_memory_active_bytes",
            "Bytes of the pages the allocator has something in.",
            || tikv_jemalloc_ctl::stats::active::read().ok().map(bytes),
        ),
        (
            "process_resident_memory_bytes",
            "Bytes of memory the program takes up, code included.",
            resident,
        ),
    ];
    for (name, help, figure) in families {
        if let Some(value) = figure() {
            text.family(name, "gauge", help).sample(&[], value);
        }
    }
}

fn bytes(count: usize) -> f64 {
    count as f64
}

fn resident() -> Option<f64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: f64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_how_much_it_is() {
        let mut text = Exposition::default();
        of_memory(&mut text);
        let text = text.finish();
        let resident = text
            .lines()
            .find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
        let resident: f64 = resident
            .and_then(|value| value.parse().ok())
            .expect("Linux");
        assert!(resident > 1e6, "{text}");
        assert!(text.contains("wa_sbc_memory_allocated_bytes "), "{text}");
    }
}
