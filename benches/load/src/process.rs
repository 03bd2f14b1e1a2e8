//! What the kernel knows about a process: processor time, memory, bytes sent to the disk.

use std::fs;
use std::ops::AddAssign;

use crate::Failure;

/// Ticks a second in `/proc/PID/stat`: Linux promises 100 to programs, whatever it uses itself (`USER_HZ`).
const TICKS_PER_SEC: f64 = 100.0;

/// What a process has used up so far.
#[derive(Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) processor_secs: f64,
    /// Bytes of pages it made dirty and the kernel has to write.
    pub(crate) written_bytes: u64,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> Result<Self, Failure> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name in parentheses may hold spaces; user and system time are the 12th and 13th field behind it.
        let (_, fields) = stat.rsplit_once(')').ok_or("/proc has another form here")?;
        let ticks =
            fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
        let io = fs::read_to_string(format!("/proc/{pid}/io"))?;
        Ok(Self { processor_secs: ticks as f64 / TICKS_PER_SEC, written_bytes: number(&io, "write_bytes:")? })
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            processor_secs: self.processor_secs - earlier.processor_secs,
            written_bytes: self.written_bytes - earlier.written_bytes,
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, more: Self) {
        self.processor_secs += more.processor_secs;
        self.written_bytes += more.written_bytes;
    }
}

/// Resident memory of a process in KiB: now, and at its highest.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) now_kib: u64,
    pub(crate) peak_kib: u64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Result<Self, Failure> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        Ok(Self { now_kib: number(&status, "VmRSS:")?, peak_kib: number(&status, "VmHWM:")? })
    }
}

fn number(text: &str, name: &str) -> Result<u64, Failure> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("/proc has another form here")?;
    Ok(value.trim().trim_end_matches(" kB").parse()?)
}
