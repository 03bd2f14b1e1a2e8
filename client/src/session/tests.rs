//! Every transition of the session, and what each kind of request sees of it.

use super::*;
use crate::RefreshToken;

const START: Moment = Moment::from_millis(1_000_000);
const LOST: Failure = Failure::Lost;

fn after(secs: u32) -> Moment {
    START.plus_secs(secs)
}

fn ready() -> Session {
    let mut session = Session::signed_out();
    session.signed_in(Some(600), START);
    session
}

fn stale() -> Session {
    let mut session = Session::signed_out();
    session.resumed();
    session
}

fn renewed(expires_in_secs: Option<u32>) -> Outcome {
    Outcome::Renewed { token: RefreshToken::parse(&"b".repeat(72)).unwrap(), expires_in_secs }
}

/// A request that is told to refresh.
fn refreshing(session: &mut Session, now: Moment) -> (Request, Turn) {
    let mut request = Request::new();
    let turn = turn(session, &mut request, now);
    (request, turn)
}

fn turn(session: &mut Session, request: &mut Request, now: Moment) -> Turn {
    match session.next(request, now) {
        Step::Refresh(turn) => turn,
        other => panic!("expected Refresh, got {other:?}"),
    }
}

fn fail(session: &mut Session, turn: Turn, failure: Failure, now: Moment) {
    assert!(session.finished(turn, &Outcome::Failed(failure), now, now));
}

/// A request that was sent with the current access token and met a 401.
fn rejected(session: &mut Session, now: Moment) -> Request {
    let mut request = Request::new();
    assert_eq!(session.next(&mut request, now), Step::Send);
    assert_eq!(request.answered(401, Some(Advice::Refresh)), Verdict::Again);
    request
}

#[test]
fn signed_out_sends_nothing() {
    let mut session = Session::signed_out();
    assert!(!session.is_signed_in());
    assert_eq!(session.next(&mut Request::new(), START), Step::SignedOut);
}

#[test]
fn signed_in_sends_at_once() {
    let mut session = ready();
    assert!(session.is_signed_in());
    assert_eq!(session.next(&mut Request::new(), START), Step::Send);
}

#[test]
fn resumed_refreshes_first_and_then_sends() {
    let mut session = stale();
    assert!(session.is_signed_in());
    let (mut request, turn) = refreshing(&mut session, START);
    assert!(session.finished(turn, &renewed(Some(600)), START, START));
    assert_eq!(session.next(&mut request, START), Step::Send);
    assert_eq!(request.answered(200, None), Verdict::Return);
}

#[test]
fn answers_other_than_401_are_returned() {
    for status in [200, 204, 302, 400, 403, 404, 429, 500, 503] {
        let mut request = Request::new();
        assert_eq!(ready().next(&mut request, START), Step::Send);
        assert_eq!(request.answered(status, None), Verdict::Return, "{status}");
    }
}

#[test]
fn a_401_refreshes_and_repeats_once_and_a_second_401_is_returned() {
    let mut session = ready();
    let mut request = rejected(&mut session, START);
    let turn = turn(&mut session, &mut request, START);
    assert!(session.finished(turn, &renewed(Some(600)), START, START));
    assert_eq!(session.next(&mut request, START), Step::Send);
    assert_eq!(request.answered(401, Some(Advice::Refresh)), Verdict::Return);
    assert!(session.is_signed_in(), "a 401 from a protected endpoint never signs out");
}

#[test]
fn a_401_that_advises_something_else_is_returned() {
    for advice in [Advice::Login, Advice::Wait, Advice::Retry, Advice::None] {
        let mut request = Request::new();
        assert_eq!(ready().next(&mut request, START), Step::Send);
        assert_eq!(request.answered(401, Some(advice)), Verdict::Return, "{advice:?}");
    }
}

#[test]
fn a_strangers_401_does_not_refresh_twice_in_one_request() {
    for (advice, verdict) in [(None, Verdict::Return), (Some(Advice::Refresh), Verdict::Again)] {
        let mut session = stale();
        let (mut owner, turn) = refreshing(&mut session, START);
        let mut guest = Request::new();
        assert!(matches!(session.next(&mut guest, START), Step::Join(_)));
        assert!(session.finished(turn, &renewed(Some(600)), START, START));
        for request in [&mut owner, &mut guest] {
            assert_eq!(session.next(request, START), Step::Send);
            assert_eq!(request.answered(401, advice), verdict, "{advice:?}");
        }
    }
}

#[test]
fn a_401_after_somebody_refreshed_just_repeats() {
    let mut session = ready();
    let mut slow = rejected(&mut session, START);
    let mut quick = rejected(&mut session, START);
    let turn = turn(&mut session, &mut quick, START);
    assert!(session.finished(turn, &renewed(Some(600)), START, START));
    assert_eq!(session.next(&mut slow, START), Step::Send);
}

#[test]
fn a_known_deadline_refreshes_before_the_server_has_to_refuse() {
    let mut session = ready();
    let just_before = Moment::from_millis(after(600).as_millis() - 1);
    assert_eq!(session.next(&mut Request::new(), just_before), Step::Send);
    assert!(matches!(session.next(&mut Request::new(), after(600)), Step::Refresh(_)));
}

#[test]
fn without_a_deadline_only_a_401_refreshes() {
    let mut session = Session::signed_out();
    session.signed_in(None, START);
    let much_later = after(1_000_000);
    assert_eq!(session.next(&mut Request::new(), much_later), Step::Send);
    let mut request = rejected(&mut session, much_later);
    assert!(matches!(session.next(&mut request, much_later), Step::Refresh(_)));
}

#[test]
fn the_deadline_counts_from_the_sending() {
    let mut session = stale();
    let (_, turn) = refreshing(&mut session, START);
    assert!(session.finished(turn, &renewed(Some(10)), START, after(9)));
    assert_eq!(session.next(&mut Request::new(), after(9)), Step::Send);
    assert!(matches!(session.next(&mut Request::new(), after(10)), Step::Refresh(_)));
}

#[test]
fn a_token_that_is_born_expired_is_still_sent_by_the_request_that_fetched_it() {
    let mut session = stale();
    let (mut request, turn) = refreshing(&mut session, START);
    assert!(session.finished(turn, &renewed(Some(0)), START, START));
    assert_eq!(session.next(&mut request, START), Step::Send);
}

#[test]
fn only_one_request_refreshes_and_the_others_join() {
    let mut session = stale();
    let (_, turn) = refreshing(&mut session, START);
    let mut guest = Request::new();
    assert_eq!(session.next(&mut guest, START), Step::Join(after(TAKE_OVER_SECS)));
    assert!(session.finished(turn, &renewed(Some(600)), START, START));
    assert_eq!(session.next(&mut guest, START), Step::Send);
}

#[test]
fn a_lost_attempt_is_repeated_at_once_by_its_owner_while_guests_still_wait() {
    let mut session = stale();
    let (mut owner, first) = refreshing(&mut session, START);
    fail(&mut session, first, LOST, START);
    assert!(matches!(session.next(&mut Request::new(), START), Step::Join(_)));
    assert_eq!(turn(&mut session, &mut owner, START), first, "it is the same refresh");
}

#[test]
fn a_second_loss_is_given_a_second() {
    let mut session = stale();
    let (mut owner, turn) = refreshing(&mut session, START);
    fail(&mut session, turn, LOST, START);
    assert_eq!(session.next(&mut owner, START), Step::Refresh(turn));
    fail(&mut session, turn, LOST, START);
    assert_eq!(session.next(&mut owner, START), Step::Wait(after(1)));
    assert_eq!(session.next(&mut owner, after(1)), Step::Refresh(turn));
}

#[test]
fn after_the_last_try_everybody_who_took_part_fails_and_the_session_is_kept() {
    let mut session = stale();
    let (mut owner, turn) = refreshing(&mut session, START);
    let mut guest = Request::new();
    assert!(matches!(session.next(&mut guest, START), Step::Join(_)));
    for secs in [0, 0, 1] {
        fail(&mut session, turn, LOST, after(secs));
        let _ = session.next(&mut owner, after(1));
    }
    assert_eq!(session.next(&mut owner, after(1)), Step::Failed(LOST));
    assert_eq!(session.next(&mut guest, after(1)), Step::Failed(LOST));
    assert!(session.is_signed_in());
    assert!(
        matches!(session.next(&mut Request::new(), after(1)), Step::Refresh(_)),
        "the next one tries anew"
    );
}

#[test]
fn failures_that_will_not_pass_are_not_repeated() {
    for failure in [Failure::Unsaved, Failure::Refused] {
        let mut session = stale();
        let (mut owner, turn) = refreshing(&mut session, START);
        fail(&mut session, turn, failure, START);
        assert_eq!(session.next(&mut owner, START), Step::Failed(failure));
        assert!(session.is_signed_in());
    }
}

#[test]
fn every_passing_failure_keeps_the_session_and_is_repeated() {
    let foreign = Failure::Foreign { retry_after_secs: None };
    for failure in [Failure::Unsent, LOST, foreign, Failure::Busy { retry_after_secs: None }] {
        let mut session = stale();
        let (mut owner, turn) = refreshing(&mut session, START);
        fail(&mut session, turn, failure, START);
        assert!(session.is_signed_in());
        assert_eq!(session.next(&mut owner, after(1)), Step::Refresh(turn), "{failure:?}");
    }
}

#[test]
fn a_short_retry_after_is_waited_for() {
    let mut session = stale();
    let (mut owner, turn) = refreshing(&mut session, START);
    fail(&mut session, turn, Failure::Busy { retry_after_secs: Some(4) }, START);
    assert_eq!(session.next(&mut owner, START), Step::Wait(after(4)));
    assert_eq!(session.next(&mut owner, after(4)), Step::Refresh(turn));
}

#[test]
fn a_long_retry_after_is_reported_and_holds_back_later_requests() {
    let mut session = stale();
    let (mut owner, turn) = refreshing(&mut session, START);
    let busy = Failure::Busy { retry_after_secs: Some(30) };
    fail(&mut session, turn, busy, START);
    assert_eq!(session.next(&mut owner, START), Step::Failed(busy));
    let remaining = Failure::Busy { retry_after_secs: Some(29) };
    assert_eq!(session.next(&mut Request::new(), after(1)), Step::Failed(remaining));
    let mut patient = Request::new();
    assert_eq!(session.next(&mut patient, after(25)), Step::Wait(after(30)));
    assert!(matches!(session.next(&mut patient, after(30)), Step::Refresh(_)));
}

#[test]
fn an_absurd_retry_after_is_not_believed() {
    let mut session = stale();
    let (_, turn) = refreshing(&mut session, START);
    fail(&mut session, turn, Failure::Foreign { retry_after_secs: Some(u32::MAX) }, START);
    assert!(matches!(session.next(&mut Request::new(), after(HOLD_MAX_SECS)), Step::Refresh(_)));
}

#[test]
fn a_postponed_refresh_pauses_without_using_up_a_try() {
    let mut session = stale();
    let (mut owner, turn) = refreshing(&mut session, START);
    session.postponed(turn, after(15));
    assert_eq!(session.next(&mut owner, START), Step::Wait(after(15)));
    for secs in [15, 15, 16] {
        assert_eq!(session.next(&mut owner, after(secs)), Step::Refresh(turn));
        fail(&mut session, turn, LOST, after(secs));
    }
    assert_eq!(session.next(&mut owner, after(16)), Step::Failed(LOST));
}

#[test]
fn an_attempt_that_never_reports_is_taken_over() {
    let mut session = stale();
    let (_, lost_turn) = refreshing(&mut session, START);
    let mut guest = Request::new();
    assert!(matches!(session.next(&mut guest, START), Step::Join(_)));
    assert_ne!(turn(&mut session, &mut guest, after(TAKE_OVER_SECS)), lost_turn);
}

#[test]
fn a_pause_whose_owner_is_gone_is_taken_over() {
    let mut session = stale();
    let (_, lost_turn) = refreshing(&mut session, START);
    fail(&mut session, lost_turn, Failure::Busy { retry_after_secs: Some(5) }, START);
    let mut guest = Request::new();
    assert_eq!(session.next(&mut guest, START), Step::Join(after(5 + TAKE_OVER_SECS)));
    assert_ne!(turn(&mut session, &mut guest, after(5 + TAKE_OVER_SECS)), lost_turn);
}

#[test]
fn the_late_failure_of_a_refresh_that_was_taken_over_is_ignored() {
    let mut session = stale();
    let (_, late) = refreshing(&mut session, START);
    let (mut successor, current) = refreshing(&mut session, after(TAKE_OVER_SECS));
    let failed = Outcome::Failed(Failure::Refused);
    assert!(!session.finished(late, &failed, START, after(TAKE_OVER_SECS)));
    session.postponed(late, after(1000));
    assert!(session.finished(current, &renewed(Some(600)), after(TAKE_OVER_SECS), after(TAKE_OVER_SECS)));
    assert_eq!(session.next(&mut successor, after(TAKE_OVER_SECS)), Step::Send);
}

#[test]
fn the_late_tokens_of_a_refresh_that_was_taken_over_are_used() {
    let mut session = stale();
    let (_, late) = refreshing(&mut session, START);
    let _ = refreshing(&mut session, after(TAKE_OVER_SECS));
    assert!(session.finished(late, &renewed(Some(600)), START, after(TAKE_OVER_SECS)));
    assert_eq!(session.next(&mut Request::new(), after(TAKE_OVER_SECS)), Step::Send);
}

#[test]
fn the_end_of_the_session_reaches_owner_guests_and_newcomers() {
    let mut session = stale();
    let (mut owner, turn) = refreshing(&mut session, START);
    let mut guest = Request::new();
    assert!(matches!(session.next(&mut guest, START), Step::Join(_)));
    assert!(session.finished(turn, &Outcome::Ended, START, START));
    for request in [&mut owner, &mut guest, &mut Request::new()] {
        assert_eq!(session.next(request, START), Step::SignedOut);
    }
}

#[test]
fn sign_out_works_in_every_state() {
    let pausing = || {
        let mut session = stale();
        let (_, turn) = refreshing(&mut session, START);
        fail(&mut session, turn, LOST, START);
        session
    };
    let in_flight = || {
        let mut session = stale();
        let _ = refreshing(&mut session, START);
        session
    };
    for mut session in [Session::signed_out(), ready(), stale(), in_flight(), pausing()] {
        session.sign_out();
        assert_eq!(session.next(&mut Request::new(), START), Step::SignedOut);
    }
}

#[test]
fn tokens_that_arrive_after_signing_out_do_not_sign_in() {
    let mut session = stale();
    let (_, turn) = refreshing(&mut session, START);
    session.sign_out();
    assert!(!session.finished(turn, &renewed(Some(600)), START, START));
    assert!(!session.is_signed_in());
}

#[test]
fn the_end_of_an_earlier_session_does_not_end_this_one() {
    let mut session = stale();
    let (_, turn) = refreshing(&mut session, START);
    session.signed_in(Some(600), START);
    assert!(!session.finished(turn, &Outcome::Ended, START, START));
    assert!(session.is_signed_in());
}

#[test]
fn a_request_is_not_repeated_under_another_sign_in() {
    let mut session = ready();
    let mut request = rejected(&mut session, START);
    session.signed_in(Some(600), START);
    assert_eq!(session.next(&mut request, START), Step::SignedOut);
}

#[test]
fn a_new_sign_in_forgets_that_the_server_asked_for_patience() {
    let mut session = stale();
    let (_, turn) = refreshing(&mut session, START);
    fail(&mut session, turn, Failure::Busy { retry_after_secs: Some(60) }, START);
    session.resumed();
    assert!(matches!(session.next(&mut Request::new(), START), Step::Refresh(_)));
}
