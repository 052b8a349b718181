//! Metrics of the process as the kernel sees it, with the names that all Prometheus clients use. They are read only at
//! a scrape, so they cost nothing otherwise.

use std::{fmt, fs, sync::LazyLock};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, family::Family, gauge::ConstGauge, gauge::Gauge},
};

use super::{
    group::{Label, metrics},
    histogram::Seconds,
};
use crate::clock::Clock;

/// The metrics of the process.
pub(crate) static PROCESS: LazyLock<ProcessMetrics> = LazyLock::new(|| {
    let process = ProcessMetrics::default();
    process.build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
    process
});

metrics! {
    /// The metrics of the process.
    ProcessMetrics {
        /// 1, with the version of this program as a label.
        build: Family<Label, Gauge> = "build_info";
        /// Whether /readyz answers 200: 1 if so.
        ready: Gauge = "ready";
        /// Scheduling delay of a task in this process, in seconds, measured every 100 ms.
        scheduler_delay: Seconds = "scheduler_delay_seconds";
    }
}

/// When this process began, in seconds since 1970. The kernel tells it only together with the time of the boot in
/// `/proc/stat`, which a unit with `ProcSubset=pid` hides.
static BEGUN: LazyLock<f64> =
    LazyLock::new(|| Clock::system().now().datetime().unix_timestamp_nanos() as f64 / 1e9);

/// Notes that the process begins now.
pub(in crate::telemetry) fn begins() {
    LazyLock::force(&BEGUN);
}

/// Reads `/proc` at each scrape.
#[derive(Debug)]
pub(super) struct Kernel;

/// The unit of times in `/proc`.
const TICKS_PER_SECOND: f64 = 100.0;

impl Collector for Kernel {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauge = |name, help, value: Option<f64>| -> fmt::Result {
            let Some(value) = value else { return Ok(()) };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        let stat = fs::read_to_string("/proc/self/stat").ok();
        let open = fs::read_dir("/proc/self/fd").ok().map(|open| open.count() as f64);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        gauge("process_open_fds", "File descriptors that are open", open)?;
        gauge("process_max_fds", "File descriptors that may be open", most_files())?;
        gauge("process_resident_memory_bytes", "Memory that is resident", memory(&status, "VmRSS:"))?;
        gauge("process_virtual_memory_bytes", "Memory that is mapped", memory(&status, "VmSize:"))?;
        gauge("process_start_time_seconds", "When this process began, in seconds since 1970", Some(*BEGUN))?;
        let Some(spent) = stat.as_deref().and_then(ticks) else { return Ok(()) };
        let spent = ConstCounter::new(spent as f64 / TICKS_PER_SECOND);
        let about = "Processor time that this process has used, in seconds";
        spent.encode(encoder.encode_descriptor("process_cpu_seconds", about, None, spent.metric_type())?)
    }
}

/// The processor time in `/proc/self/stat`, in ticks. The name of the program is in parentheses and may contain any
/// characters, so the fields are counted from its end.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    // The field after the name is field 3 in proc(5).
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(field(14)? + field(15)?)
}

/// The value of a line of `/proc/self/status`, in bytes.
fn memory(status: &str, line: &str) -> Option<f64> {
    let line = status.lines().find_map(|told| told.strip_prefix(line))?;
    let kilobytes: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1_024.0)
}

fn most_files() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_counted_from_the_end_of_the_name() {
        let text = "7 (a (b) c) S 1 7 7 0 -1 4194560 900 0 3 0 250 50 0 0 20 0 5 0 8000 123456789 1000 18446";
        assert_eq!(ticks(text), Some(300));
        assert_eq!(ticks("7 (a"), None);
        assert_eq!(memory("VmSize:\t  200 kB\nVmRSS:\t   100 kB\n", "VmRSS:"), Some(102_400.0));
    }
}
