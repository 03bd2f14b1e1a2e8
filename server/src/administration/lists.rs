//! Lists, a page at a time: however many there are, neither the server nor whoever asks holds all of them.

use crate::administration::{Answer, AuditRow, Office, Refusal, SessionRow, UserRow};
use crate::audit::Log;
use crate::session::{Session, SessionId};
use crate::store::{Reads, StoreError};
use crate::time::Now;
use crate::user::{Name, User, UserId, folded};

/// Most rows of a page that the command line gets.
pub const PAGE_LEN: usize = 1000;

/// Most records that one page looks at: many may be dead. Whoever wants more goes on from there.
const RECORDS_SEEN_MAX: usize = 4096;

/// A page of living sessions with their users, and after which one to go on; `None` when these were the last.
pub(crate) type SessionsPage = (Vec<(SessionId, Session, User)>, Option<SessionId>);

/// Up to `limit` living sessions behind `after`, those of a user side by side.
///
/// # Errors
/// [`StoreError`].
pub(crate) fn sessions_page(
    reads: &Reads,
    only: Option<UserId>,
    after: Option<SessionId>,
    limit: usize,
    now: Now,
) -> Result<SessionsPage, StoreError> {
    let records = match only {
        Some(user) => {
            let mut records = reads.sessions_of(user)?;
            records.retain(|(id, _)| after.is_none_or(|after| *id > after));
            records
        }
        None => reads.sessions_after(after.unwrap_or(SessionId([0; 16])), RECORDS_SEEN_MAX)?,
    };
    let is_all = only.is_some() || records.len() < RECORDS_SEEN_MAX;
    let (mut living, mut last) = (Vec::new(), None);
    for (id, session) in records {
        if living.len() == limit {
            return Ok((living, last));
        }
        last = Some(id);
        let user = reads.user(id.user())?;
        if let Some(user) = user.filter(|user| session.end_reason(Some(user), now).is_none()) {
            living.push((id, session, user));
        }
    }
    Ok((living, last.filter(|_| !is_all)))
}

/// A page of living sessions, of one user or of all.
pub(super) fn sessions(
    office: &Office<'_>,
    user: Option<&str>,
    after: Option<&str>,
    now: Now,
) -> Result<Answer, Refusal> {
    let only = match user {
        Some(name) => {
            let name: Name = name.parse()?;
            let found = office.store.read(|reads| reads.user_named(&name))?;
            Some(found.ok_or(Refusal::NoSuchUser)?.0)
        }
        None => None,
    };
    let after = after.and_then(SessionId::from_handle);
    let (living, next) = office.store.read(|reads| sessions_page(reads, only, after, PAGE_LEN, now))?;
    let rows = living.into_iter().map(|(id, session, user)| SessionRow::new(id, session, user)).collect();
    Ok(Answer::Sessions { rows, next: next.map(SessionId::handle) })
}

/// A page of users behind the name `after`, in the order of their names.
pub(super) fn users(office: &Office<'_>, after: &str, now: Now) -> Result<Answer, Refusal> {
    let (rows, next) = office.store.read(|reads| {
        let page = reads.users_after(&folded(after), "", PAGE_LEN)?;
        let rows = page.users.into_iter().map(|(id, user)| UserRow::read(reads, id, user, now));
        Ok((rows.collect::<Result<_, _>>()?, page.next))
    })?;
    Ok(Answer::Users { rows, next })
}

/// The newest entries of a log, from the number `from` on, `limit` at most; or the oldest of those that are left.
pub(super) fn audit(office: &Office<'_>, log: Log, from: Option<u64>, limit: u64) -> Result<Answer, Refusal> {
    let limit = limit.min(PAGE_LEN as u64);
    Ok(office.store.read(|reads| {
        let (oldest, end) = (reads.oldest(log)?, reads.end_of(log)?.next);
        let first = from.unwrap_or_else(|| end.saturating_sub(limit)).clamp(oldest, end);
        let next = end.min(first.saturating_add(limit));
        let rows = (first..next).map(|number| AuditRow::read(reads, log, number));
        let rows = rows.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        Ok(Answer::Audit { rows, next, era: reads.era()?.0 })
    })?)
}
