//! Master keys: the file they live in, and what is derived from each for one purpose only.
//!
//! `K_purpose = HMAC-SHA256(master[kid], label)`. The file is read as it stands or refused, never guessed at: a key
//! made up in place of a lost one would sign everybody out.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::mem;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use base64ct::{Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use token_core::{Key, RefreshKey};
use zeroize::Zeroizing;

use crate::audit::AuditKey;
use crate::entropy;
use crate::one_time_code::CodeKey;
use crate::private_file;
use crate::session::RetryKey;
use crate::time::UnixMillis;

/// Name of the key file inside the data folder.
pub const FILE_NAME: &str = "keys";

/// The media type of access tokens (RFC 9068 §2.1), so that no other token of ours passes for one.
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// Bytes of a key file at most: enough for every key id there can be.
const FILE_LEN_MAX: u64 = 32 << 10;

/// Bytes of a line of it at most: an id, a key, a time.
const LINE_LEN_MAX: usize = 3 + 1 + 43 + 1 + 20 + 1;

/// What stands behind a key that is known and does not sign yet.
const STANDBY: &str = "standby";

// Every key id there is has room.
const _: () = assert!(FILE_HEAD.len() + 256 * LINE_LEN_MAX <= FILE_LEN_MAX as usize);

const FIRST_LINE: &str = "latchkey-keys 1";
const FILE_HEAD: &str = "latchkey-keys 1
# Whoever reads this file can sign in as anybody: keep it to its owner (0600), apart from backups of the store.
# One key a line: its id (0 to 255) and 32 random bytes in base64url. The last line without the word standby signs.
# The lines before it are there for tokens that still live, and end with the second of Unix time at which they stopped
# signing; the lines behind it are keys that do not sign yet.
";

type HmacSha256 = Hmac<Sha256>;
type Secret = Zeroizing<[u8; 32]>;

/// A line of the key file.
struct Master {
    kid: u8,
    secret: Secret,
    /// When it stopped signing; files of earlier versions do not say.
    signed_until: Option<UnixMillis>,
    /// Whether it is known and does not sign yet.
    is_standby: bool,
}

impl Master {
    fn new(kid: u8) -> Self {
        Self { kid, secret: Zeroizing::new(entropy::bytes()), signed_until: None, is_standby: false }
    }
}

/// An id that no key has: the one after the newest, so that ids of retired keys, of which tokens may still be about, come
/// back late. Only the id of a key that was the newest when it was retired comes back at once.
fn free_kid(masters: &[Master]) -> Result<u8, Reason> {
    let newest = masters.last().map_or(0, |master| master.kid);
    let is_free = |kid: &u8| masters.iter().all(|taken| taken.kid != *kid);
    (1..=u8::MAX).map(|step| newest.wrapping_add(step)).find(is_free).ok_or(Reason::Full)
}

/// Lets the standby key `kid` sign from `now` on.
fn let_sign(masters: &mut Vec<Master>, kid: u8, now: UnixMillis) -> Result<(), Reason> {
    let place = masters.iter().position(|known| known.kid == kid).ok_or(Reason::NoSuchKey)?;
    if !masters[place].is_standby {
        return Err(Reason::NotStandby);
    }
    let mut activated = masters.remove(place);
    activated.is_standby = false;
    let first_standby = masters.iter().take_while(|master| !master.is_standby).count();
    if let Some(signing) = first_standby.checked_sub(1).and_then(|place| masters.get_mut(place)) {
        // Rounded up: a request under way signs with it until it has seen the other.
        signing.signed_until = Some(UnixMillis::from_secs(now.as_secs_rounded_up()));
    }
    masters.insert(first_standby, activated);
    Ok(())
}

/// The keys of a running server, which can change: requests under way keep those they began with.
#[derive(Debug)]
pub struct KeyRing {
    path: PathBuf,
    current: RwLock<Arc<Keys>>,
    /// Held by the one who changes the file.
    changing: Mutex<()>,
}

/// Another key file, written and not in force yet. Dropping it leaves everything as it was.
#[derive(Debug)]
pub struct Pending<'r> {
    ring: &'r KeyRing,
    path: PathBuf,
    unfinished: PathBuf,
    keys: Keys,
    _alone: MutexGuard<'r, ()>,
}

impl Pending<'_> {
    /// The keys that it holds.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Puts it in the place of the file before. Nobody else changes the keys until it is dropped, so that the store can be
    /// told of them first.
    ///
    /// # Errors
    /// [`KeyFileError`]; then the file before is in force.
    pub fn put_in_force(&mut self) -> Result<Arc<Keys>, KeyFileError> {
        fs::rename(&self.unfinished, &self.path)
            .and_then(|()| private_file::sync_folder_of(&self.path))
            .map_err(|error| self.ring.failed(Reason::Io(error)))?;
        let keys = Arc::new(mem::take(&mut self.keys));
        *self.ring.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&keys);
        Ok(keys)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        // It holds keys. Once it is in force there is no file of this name.
        let _ = fs::remove_file(&self.unfinished);
    }
}

impl KeyRing {
    /// The ring of the key file at `path`, which `keys` was read from.
    pub fn new(path: PathBuf, keys: Keys) -> Self {
        Self { path, current: RwLock::new(Arc::new(keys)), changing: Mutex::new(()) }
    }

    /// The keys as they are now.
    pub fn current(&self) -> Arc<Keys> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps everybody from changing the keys for as long as the guard lives.
    pub fn hold(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One key more, known and not yet signing, and its id.
    ///
    /// # Errors
    /// [`KeyFileError`] when the file cannot be read or written, is another than this process has read, or has no free
    /// key id. So too below.
    pub fn add(&self) -> Result<(u8, Pending<'_>), KeyFileError> {
        self.change(|masters| {
            let kid = free_kid(masters)?;
            masters.push(Master { is_standby: true, ..Master::new(kid) });
            Ok(kid)
        })
    }

    /// Lets a key that was added sign from `now` on.
    ///
    /// # Errors
    /// [`KeyFileError`] also for a key that is not there, or signs or has signed.
    pub fn activate(&self, kid: u8, now: UnixMillis) -> Result<Pending<'_>, KeyFileError> {
        let ((), pending) = self.change(|masters| let_sign(masters, kid, now))?;
        Ok(pending)
    }

    /// One key more, which signs from `now` on, and its id.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn rotate(&self, now: UnixMillis) -> Result<(u8, Pending<'_>), KeyFileError> {
        self.change(|masters| {
            let kid = free_kid(masters)?;
            masters.push(Master { is_standby: true, ..Master::new(kid) });
            let_sign(masters, kid, now)?;
            Ok(kid)
        })
    }

    /// One key less, with which every token it issued becomes invalid.
    ///
    /// # Errors
    /// [`KeyFileError`] also for the key that signs, or is not there.
    pub fn retire(&self, kid: u8) -> Result<Pending<'_>, KeyFileError> {
        let ((), pending) = self.change(|masters| {
            let place = masters.iter().position(|known| known.kid == kid).ok_or(Reason::NoSuchKey)?;
            if signing(masters).is_some_and(|signing| signing.kid == kid) {
                return Err(Reason::Signs);
            }
            masters.remove(place);
            Ok(())
        })?;
        Ok(pending)
    }

    /// The secret that access tokens of `kid` are signed with, for another verifier.
    ///
    /// # Errors
    /// [`KeyFileError`] when the file cannot be read or has no such key.
    pub fn access_secret(&self, kid: u8) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
        let masters = read_masters(&self.path)?;
        let master = masters.iter().find(|known| known.kid == kid);
        let master =
            master.ok_or_else(|| KeyFileError { path: self.path.clone(), reason: Reason::NoSuchKey })?;
        Ok(derive(&master.secret, b"access"))
    }

    /// Writes the key file as `change` leaves it, beside the one that is there.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<Master>) -> Result<T, Reason>,
    ) -> Result<(T, Pending<'_>), KeyFileError> {
        let alone = self.hold();
        let mut masters = read_masters(&self.path)?;
        if Keys::derive(&masters).fingerprints() != self.current().fingerprints() {
            return Err(self.failed(Reason::Another));
        }
        let changed = change(&mut masters).map_err(|reason| self.failed(reason))?;
        // A link stays one: what takes its place would leave the keys in the file behind it.
        let path = private_file::behind_links(&self.path);
        let unfinished = write_unfinished(&path, file_text(&masters).as_bytes())
            .map_err(|error| self.failed(Reason::Io(error)))?;
        let keys = Keys::derive(&masters);
        Ok((changed, Pending { ring: self, path, unfinished, keys, _alone: alone }))
    }

    fn failed(&self, reason: Reason) -> KeyFileError {
        KeyFileError { path: self.path.clone(), reason }
    }
}

/// The key that signs: the last that is not standby.
fn signing(masters: &[Master]) -> Option<&Master> {
    masters.iter().rfind(|master| !master.is_standby)
}

/// Everything derived from the master keys.
#[derive(Default)]
pub struct Keys {
    /// For access tokens, the signing key first.
    access: Vec<Key>,
    /// In the order of the file: the last one that is not standby signs.
    masters: Vec<Derived>,
}

/// What one master key is good for.
struct Derived {
    kid: u8,
    refresh: RefreshKey,
    retry: HmacSha256,
    audit: AuditKey,
    codes: CodeKey,
    fingerprint: [u8; 9],
    signed_until: Option<UnixMillis>,
    is_standby: bool,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.masters.iter().map(|key| key.kid)).finish()
    }
}

impl Keys {
    /// Derives from `masters`, oldest first; there is at least one that signs.
    fn derive(masters: &[Master]) -> Self {
        let standby = masters.iter().filter(|master| master.is_standby);
        let access = masters.iter().rev().filter(|master| !master.is_standby).chain(standby);
        let access = access.map(access_key).collect();
        let masters = masters
            .iter()
            .map(|Master { kid, secret, signed_until, is_standby }| {
                let mut fingerprint = [*kid; 9];
                fingerprint[1..].copy_from_slice(&derive(secret, b"fingerprint")[..8]);
                Derived {
                    kid: *kid,
                    refresh: RefreshKey::new(&derive(secret, b"refresh")),
                    retry: keyed(&derive(secret, b"retry")),
                    audit: AuditKey::new(*kid, keyed(&derive(secret, b"audit"))),
                    codes: CodeKey::new(keyed(&derive(secret, b"code"))),
                    fingerprint,
                    signed_until: *signed_until,
                    is_standby: *is_standby,
                }
            })
            .collect();
        Self { access, masters }
    }

    /// The keys of access tokens, the signing one first.
    pub fn access(&self) -> &[Key] {
        &self.access
    }

    /// The key that signs new access tokens.
    pub fn access_signing(&self) -> &Key {
        self.access.first().expect("a key file has at least one key")
    }

    /// The id of the key that signs new tokens.
    pub fn signing_kid(&self) -> u8 {
        self.signing().kid
    }

    fn signing(&self) -> &Derived {
        self.masters.iter().rfind(|key| !key.is_standby).expect("a key file has a key that signs")
    }

    /// Whether a key is known and does not sign yet.
    pub fn is_standby(&self, kid: u8) -> bool {
        self.find(kid).is_some_and(|key| key.is_standby)
    }

    /// When a key that signs no more stopped, if that is known.
    pub fn signed_until(&self, kid: u8) -> Option<UnixMillis> {
        self.find(kid).filter(|key| key.kid != self.signing_kid())?.signed_until
    }

    /// The key of refresh tokens with this id.
    pub fn refresh(&self, kid: u8) -> Option<&RefreshKey> {
        self.find(kid).map(|key| &key.refresh)
    }

    /// What a session remembers of an `Idempotency-Key` sent with a refresh token of key `kid`.
    ///
    /// The key of the token, not the signing one: a retry has to hash to the same bytes after a key rotation too.
    pub fn retry_key(&self, kid: u8, sent: &str) -> Option<RetryKey> {
        let hash = self.find(kid)?.retry.clone().chain_update(sent).finalize().into_bytes();
        hash.first_chunk().copied().map(RetryKey)
    }

    /// The key of audit entries with this id.
    pub fn audit(&self, kid: u8) -> Option<&AuditKey> {
        self.find(kid).map(|key| &key.audit)
    }

    /// The key that binds new audit entries.
    pub fn signing_audit_key(&self) -> &AuditKey {
        &self.signing().audit
    }

    /// The key that makes one-time codes.
    pub fn signing_code_key(&self) -> &CodeKey {
        &self.signing().codes
    }

    /// The keys of one-time codes that may be about.
    pub fn code_keys(&self) -> impl Iterator<Item = &CodeKey> {
        self.masters.iter().map(|key| &key.codes)
    }

    /// One id and eight derived bytes a key, to notice a store that was used with other keys.
    pub fn fingerprints(&self) -> Vec<[u8; 9]> {
        self.masters.iter().map(|key| key.fingerprint).collect()
    }

    /// The fingerprint of one key.
    pub fn fingerprint(&self, kid: u8) -> Option<[u8; 9]> {
        self.find(kid).map(|key| key.fingerprint)
    }

    fn find(&self, kid: u8) -> Option<&Derived> {
        self.masters.iter().find(|key| key.kid == kid)
    }

    /// The ids of the keys, in the order of the file.
    pub fn kids(&self) -> impl Iterator<Item = u8> {
        self.masters.iter().map(|key| key.kid)
    }

    /// Reads the key file at `path`.
    ///
    /// # Errors
    /// [`KeyFileError`] when it is missing, readable by others, or not as [`create`](Self::create) writes it.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        read_masters(path).map(|masters| Self::derive(&masters))
    }

    /// Makes a key file with one new key; never overwrites one.
    ///
    /// # Errors
    /// [`KeyFileError`] when it is already there or cannot be written.
    pub fn create(path: &Path) -> Result<Self, KeyFileError> {
        let failed = |error| KeyFileError { path: path.to_owned(), reason: Reason::Io(error) };
        let masters = [Master::new(1)];
        let unfinished = write_unfinished(path, file_text(&masters).as_bytes()).map_err(failed)?;
        // A link, unlike a rename, fails when there is a file already.
        let linked = fs::hard_link(&unfinished, path);
        fs::remove_file(&unfinished).map_err(failed)?;
        linked.and_then(|()| private_file::sync_folder_of(path)).map_err(failed)?;
        Ok(Self::derive(&masters))
    }
}

fn read_masters(path: &Path) -> Result<Vec<Master>, KeyFileError> {
    let failed = |reason| KeyFileError { path: path.to_owned(), reason };
    let mut file = File::open(path).map_err(|error| failed(Reason::Io(error)))?;
    let metadata = file.metadata().map_err(|error| failed(Reason::Io(error)))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(failed(Reason::ReadableByOthers));
    }
    if metadata.len() > FILE_LEN_MAX {
        return Err(failed(Reason::NoKeyFile));
    }
    let mut text = Zeroizing::new(String::with_capacity(metadata.len() as usize));
    io::Read::read_to_string(&mut file, &mut text).map_err(|error| failed(Reason::Io(error)))?;
    parse(&text).map_err(failed)
}

fn file_text(masters: &[Master]) -> Zeroizing<String> {
    // Large enough from the start, so that no copy of a key stays behind in memory.
    let mut text = Zeroizing::new(String::with_capacity(FILE_HEAD.len() + masters.len() * LINE_LEN_MAX));
    text.push_str(FILE_HEAD);
    for Master { kid, secret, signed_until, is_standby } in masters {
        let key = Zeroizing::new(Base64UrlUnpadded::encode_string(&**secret));
        text.push_str(&format!("{kid} "));
        text.push_str(&key);
        if let Some(until) = signed_until {
            text.push_str(&format!(" {}", until.as_secs()));
        }
        if *is_standby {
            text.push(' ');
            text.push_str(STANDBY);
        }
        text.push('\n');
    }
    text
}

/// Writes a private file beside `path`, safe on the disk, to be put in its place: there whole or not at all.
fn write_unfinished(path: &Path, content: &[u8]) -> io::Result<PathBuf> {
    let (unfinished, mut file) = private_file::create_beside(path, "new")?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(unfinished)
}

fn parse(text: &str) -> Result<Vec<Master>, Reason> {
    let mut lines = text.lines().zip(1_usize..);
    if lines.next().is_none_or(|(line, _)| line != FIRST_LINE) {
        return Err(Reason::NoKeyFile);
    }
    let mut masters: Vec<Master> = Vec::new();
    for (line, number) in lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#')) {
        let (kid, rest) = line.split_once(' ').ok_or(Reason::Line(number))?;
        let (key, until) = rest.split_once(' ').map_or((rest, None), |(key, until)| (key, Some(until)));
        let is_standby = until == Some(STANDBY);
        let until = until.filter(|_| !is_standby);
        let until: Option<u64> = until.map(str::parse).transpose().map_err(|_| Reason::Line(number))?;
        let kid: u8 = kid.parse().map_err(|_| Reason::Line(number))?;
        let mut secret = Zeroizing::new([0; 32]);
        let decoded = Base64UrlUnpadded::decode(key, &mut *secret).map_err(|_| Reason::Line(number))?;
        if decoded.len() != 32 || masters.iter().any(|earlier| earlier.kid == kid) {
            return Err(Reason::Line(number));
        }
        masters.push(Master { kid, secret, signed_until: until.map(UnixMillis::from_secs), is_standby });
    }
    if signing(&masters).is_none() { Err(Reason::NoKeyFile) } else { Ok(masters) }
}

fn access_key(master: &Master) -> Key {
    Key::new(&*derive(&master.secret, b"access"))
        .and_then(|key| key.with_type(ACCESS_TOKEN_TYPE))
        .and_then(|key| key.with_kid(&master.kid.to_string()))
        .expect("32 bytes, a short type and a short key id make a key")
}

fn derive(master: &Secret, label: &[u8]) -> Secret {
    Zeroizing::new(keyed(master).chain_update(label).finalize().into_bytes().into())
}

fn keyed(secret: &[u8; 32]) -> HmacSha256 {
    HmacSha256::new_from_slice(secret).expect("HMAC accepts keys of any length")
}

/// What a key file reads as, written again; `None` when it is refused. For the fuzz targets.
#[cfg(fuzzing)]
pub fn rewritten(text: &str) -> Option<Zeroizing<String>> {
    parse(text).ok().map(|masters| file_text(&masters))
}

/// Why the key file was refused; its text says what to do.
#[derive(Debug)]
pub struct KeyFileError {
    path: PathBuf,
    reason: Reason,
}

impl KeyFileError {
    /// Whether there is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(&self.reason, Reason::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

#[derive(Debug)]
enum Reason {
    Io(io::Error),
    ReadableByOthers,
    NoKeyFile,
    Line(usize),
    Full,
    Signs,
    NotStandby,
    NoSuchKey,
    Another,
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.reason {
            Reason::Io(error) => write!(f, "the key file {path} cannot be used: {error}"),
            Reason::ReadableByOthers => {
                write!(f, "others than its owner can read the key file {path}; run `chmod 600 {path}`")
            }
            Reason::NoKeyFile => write!(
                f,
                "{path} is no key file of latchkey: its first line has to be `{FIRST_LINE}` and a key that signs has to follow; \
                 put the right file back"
            ),
            Reason::Full => write!(f, "every key id is taken in {path}; retire a key first"),
            Reason::Signs => f.write_str("the key that signs cannot be retired; rotate first"),
            Reason::NotStandby => f.write_str(
                "only a key that was made with `latchkey key add` and has not signed yet can be activated",
            ),
            Reason::Another => write!(
                f,
                "{path} holds other keys than those in use; put the right key file back, or start the server again \
                 to use these"
            ),
            Reason::NoSuchKey => write!(f, "there is no such key in {path}; `latchkey key list` shows all"),
            Reason::Line(number) => write!(
                f,
                "line {number} of the key file {path} is not an unused key id (0 to 255), a space and 43 base64url \
                 characters, and perhaps a time or the word standby; put the right file back"
            ),
        }
    }
}

impl std::error::Error for KeyFileError {}

#[cfg(test)]
mod tests;
