//! A lane at work, with the test at the far ends of its pipes.

use std::io::Write;
use std::os::unix::net::UnixStream as StdStream;

use super::super::answer;
use super::super::message::frames;
use super::*;
use crate::api::Response;

/// A lane of pipes with one request each and a line of two, and the other ends of the pipes.
fn lane(pipes: usize) -> (Lane, Vec<StdStream>) {
    lane_with(pipes, Capacity { per_pipe: 1, waiting: 2 })
}

fn lane_with(pipes: usize, capacity: Capacity) -> (Lane, Vec<StdStream>) {
    let pair = |_| {
        let (near, far) = StdStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        far.set_nonblocking(true).unwrap();
        (UnixStream::from_std(near), far)
    };
    let (near, far) = (0..pipes).map(pair).unzip();
    (Lane::new(near, capacity), far)
}

/// The ticket of a request from the network whose last byte this is.
fn ticket(number: u64, network: u8) -> Ticket {
    Ticket { number, place: 0, serial: number, sender: [192, 0, 2, network].into() }
}

fn take_on_from(lane: &mut Lane, number: u64, network: u8) -> Taken {
    let write = |out: &mut Wiped| out.extend(&[b'0' + number as u8]);
    lane.take_on(ticket(number, network), Content::Ordinary, true, write)
}

fn take_on(lane: &mut Lane, number: u64) -> Taken {
    take_on_from(lane, number, 1)
}

/// The requests of each message that was sent.
fn sent(lane: &mut Lane, far: &mut StdStream) -> Vec<String> {
    let registry = mio::Poll::new().unwrap();
    lane.flush(registry.registry()).unwrap();
    let mut bytes = vec![0; 1 << 20];
    let len = far.read(&mut bytes).unwrap_or_default();
    let mut rest = &bytes[..len];
    let mut messages = Vec::new();
    while let Some(at) = memchr::memmem::find(rest, b"\r\n\r\n") {
        let length: usize = str::from_utf8(&rest[at - 6..at]).unwrap().parse().unwrap();
        let body = &rest[at + 4..at + 4 + length];
        messages.push(String::from_utf8_lossy(&body[frames(body).unwrap()]).into_owned());
        rest = &rest[at + 4 + length..];
    }
    messages
}

fn answer_to(number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    answer::write(number, &Response::text(format!("to {number}")), false, &mut out).unwrap();
    out
}

fn receive(lane: &mut Lane, far: &mut StdStream, bytes: &[u8]) {
    far.write_all(bytes).unwrap();
    lane.receive(0, &mut [0; 4096]).unwrap();
}

fn answered(lane: &mut Lane) -> Option<u64> {
    let (ticket, verdict) = lane.next_verdict(0).unwrap()?;
    let Verdict::Answered(answer) = verdict else { panic!("{verdict:?}") };
    assert!(answer.bytes().ends_with(format!("to {}", ticket.number).as_bytes()));
    Some(ticket.number)
}

#[test]
fn requests_wait_in_line_and_move_up_when_an_answer_has_come() {
    let (mut lane, mut far) = lane(1);
    for number in 1..=3 {
        assert_eq!(take_on(&mut lane, number), Taken::Yes);
    }
    assert_eq!(take_on(&mut lane, 4), Taken::No);
    assert_eq!(sent(&mut lane, &mut far[0]), ["1"]);
    receive(&mut lane, &mut far[0], &answer_to(1));
    assert_eq!(answered(&mut lane), Some(1));
    assert_eq!(answered(&mut lane), None);
    lane.move_up(0);
    assert_eq!(sent(&mut lane, &mut far[0]), ["2"]);
}

#[test]
fn requests_that_leave_together_travel_in_one_message() {
    let (mut lane, mut far) = lane_with(1, Capacity { per_pipe: 32, waiting: 0 });
    for number in 1..=3 {
        take_on(&mut lane, number);
    }
    lane.take_on(ticket(4, 1), Content::Secret, true, |out: &mut Wiped| out.extend(b"4"));
    take_on(&mut lane, 5);
    assert_eq!(sent(&mut lane, &mut far[0]), ["123", "4", "5"], "but a password in one of its own");
    take_on(&mut lane, 6);
    assert_eq!(sent(&mut lane, &mut far[0]), ["6"]);
}

#[test]
fn who_has_gone_loses_the_place_in_line() {
    let (mut lane, mut far) = lane(1);
    for number in 1..=3 {
        take_on(&mut lane, number);
    }
    assert!(lane.leave_line(2));
    assert!(!lane.leave_line(2) && !lane.leave_line(1), "what is in a pipe is in no line");
    assert_eq!(take_on(&mut lane, 4), Taken::Yes, "there is room in the line again");
    assert_eq!(sent(&mut lane, &mut far[0]), ["1"]);
    receive(&mut lane, &mut far[0], &answer_to(1));
    assert_eq!(answered(&mut lane), Some(1));
    lane.move_up(0);
    assert_eq!(sent(&mut lane, &mut far[0]), ["3"]);
}

#[test]
fn in_a_full_line_the_network_with_most_makes_room_with_its_newest() {
    let (mut lane, _far) = lane(1);
    for number in 1..=3 {
        take_on(&mut lane, number);
    }
    assert!(lane.has_room_for([192, 0, 2, 2].into()) && !lane.has_room_for([192, 0, 2, 1].into()));
    assert_eq!(take_on_from(&mut lane, 4, 2), Taken::InPlaceOf(ticket(3, 1)));
    assert!(!lane.has_room_for([192, 0, 2, 3].into()));
    assert_eq!(take_on_from(&mut lane, 5, 3), Taken::No, "all have one, and who was there first stays");
}

#[test]
fn who_may_not_wait_is_taken_on_at_once_or_not_at_all() {
    let (mut lane, _far) = lane(1);
    for expected in [Taken::Yes, Taken::No] {
        assert_eq!(
            lane.take_on(ticket(1, 1), Content::Ordinary, false, |out: &mut Wiped| out.extend(b"1")),
            expected
        );
    }
}

#[test]
fn the_least_busy_pipe_takes_the_next_request() {
    let (mut lane, mut far) = lane(2);
    take_on(&mut lane, 1);
    take_on(&mut lane, 2);
    let mut all = sent(&mut lane, &mut far[0]);
    all.extend(sent(&mut lane, &mut far[1]));
    assert_eq!(all, ["1", "2"]);
}

#[test]
fn an_answer_with_another_number_is_nobodys_and_an_error() {
    for wrong in [answer_to(2), answer_to(0), answer_to(u64::MAX - 1)] {
        let (mut lane, mut far) = lane(1);
        take_on(&mut lane, 1);
        receive(&mut lane, &mut far[0], &wrong);
        assert!(lane.next_verdict(0).is_err());
    }
}

#[test]
fn an_answer_to_nothing_and_the_end_of_a_pipe_are_errors() {
    let (mut lane, mut far) = lane(1);
    receive(&mut lane, &mut far[0], &answer_to(1));
    assert!(lane.next_verdict(0).is_err());
    far.clear();
    assert!(lane.receive(0, &mut [0; 256]).is_err());
}

#[test]
fn an_answer_in_many_parts_is_handed_on_once_it_is_whole() {
    let (mut lane, mut far) = lane(1);
    take_on(&mut lane, 1);
    for byte in answer_to(1) {
        assert_eq!(answered(&mut lane), None);
        receive(&mut lane, &mut far[0], &[byte]);
    }
    assert_eq!(answered(&mut lane), Some(1));
}
