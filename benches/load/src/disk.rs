//! The disk below the stores: what it is, and what one durable write on it costs.

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Failure;

const WRITES: usize = 200;

/// The file system that `folder` lies on; refuses one in memory, where nothing is durable and a sync costs nothing.
pub(crate) fn file_system_of(folder: &Path) -> Result<String, Failure> {
    let folder = folder.canonicalize()?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let places = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((Path::new(fields.next()?), fields.next()?))
    });
    let (_, kind) = places
        .filter(|(place, _)| folder.starts_with(place))
        .max_by_key(|(place, _)| place.as_os_str().len())
        .ok_or("the folder lies on no file system")?;
    if matches!(kind, "tmpfs" | "ramfs") {
        return Err(format!("{kind} keeps nothing; name a folder on a disk with --folder").into());
    }
    Ok(kind.to_owned())
}

/// What it takes to overwrite 4 KiB and have them on the disk, in the middle of many tries.
pub(crate) fn sync_time(folder: &Path) -> Result<Duration, Failure> {
    let mut file = File::create(folder.join("sync"))?;
    let mut times = Vec::with_capacity(WRITES);
    for number in 0..WRITES {
        let begin = Instant::now();
        file.rewind()?;
        file.write_all(&[number as u8; 4096])?;
        file.sync_data()?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    Ok(times[WRITES / 2])
}
