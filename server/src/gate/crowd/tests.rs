//! Who goes when it is full.

use super::*;

/// A crowd of at most `len_max`, half of it from one network.
struct Door {
    crowd: Crowd,
    listener: std::net::TcpListener,
    millis: u64,
}

impl Door {
    fn new(len_max: usize) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        Self { crowd: Crowd::new(len_max, len_max / 2), listener, millis: 0 }
    }

    /// Lets one more in, a millisecond after the one before.
    fn admit(&mut self, from: impl Into<IpAddr>) -> usize {
        self.admit_as(from, false)
    }

    fn admit_as(&mut self, from: impl Into<IpAddr>, is_proxy: bool) -> usize {
        // Its other end is closed at once, which nobody here looks at.
        std::net::TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        let stream = TcpStream::from_std(self.listener.accept().unwrap().0);
        self.millis += 1;
        self.crowd.admit(stream, from.into(), is_proxy, Uptime::default().plus_millis(self.millis))
    }

    /// One that has had an answer and is idle since now.
    fn admit_used(&mut self, from: impl Into<IpAddr>) -> usize {
        let place = self.admit(from);
        self.crowd.get_mut(place).unwrap().has_sent_one();
        place
    }

    fn is_in(&mut self, place: usize, phase: Phase) {
        self.crowd.get_mut(place).unwrap().phase = phase;
    }

    fn is_newcomer(&mut self, place: usize) -> bool {
        !self.crowd.get_mut(place).unwrap().has_sent_a_request()
    }

    /// Those that came from address 200 have sent a request and wait for its answer.
    fn settle(&mut self) {
        for place in self.crowd.places() {
            let client = self.crowd.get_mut(place).unwrap();
            if client.peer == IpAddr::from(address(200)) && !client.has_sent_a_request() {
                client.has_sent_one();
                client.phase = Phase::Waiting;
            }
        }
    }

    /// Lets one more in as the gate does: in place of another when it is full. Returns whose place it took.
    fn squeeze_in(&mut self, from: impl Into<IpAddr>) -> Option<usize> {
        let from = from.into();
        let victim = match self.crowd.room_for(from, false) {
            Room::Free => None,
            Room::InPlaceOf(place) => self.crowd.remove(place).map(|_| place),
            Room::None => panic!("nobody makes room for {from}"),
        };
        self.admit(from);
        victim
    }
}

fn address(last: u8) -> [u8; 4] {
    [203, 0, 113, last]
}

#[test]
fn at_its_own_cap_an_address_displaces_its_longest_idle_connection() {
    let mut door = Door::new(4);
    let places = [door.admit_used(address(2)), door.admit_used(address(1)), door.admit_used(address(1))];
    assert_eq!(door.crowd.room_for(address(1).into(), false), Room::InPlaceOf(places[1]));
    assert_eq!(door.crowd.room_for(address(2).into(), false), Room::Free);
    assert_eq!(door.crowd.room_for(address(1).into(), true), Room::Free, "a proxy speaks for many");
    for place in &places[1..] {
        door.is_in(*place, Phase::Waiting);
    }
    assert_eq!(
        door.crowd.room_for(address(1).into(), false),
        Room::InPlaceOf(places[1]),
        "even while it is answered"
    );
    door.crowd.len_max = 1000;
    assert_eq!(door.crowd.room_for(address(1).into(), false), Room::None, "unless they are few");
}

#[test]
fn of_equal_use_who_has_more_than_a_share_pays() {
    let mut door = Door::new(128);
    let places: Vec<_> = (0..126).map(|last| door.admit_used(address(last))).collect();
    for _ in 0..2 {
        door.admit_used(address(100));
    }
    assert_eq!(door.crowd.room_for(address(200).into(), false), Room::InPlaceOf(places[100]));
}

#[test]
fn who_is_in_use_goes_after_who_is_not_and_whom_a_lane_works_for_never() {
    let mut door = Door::new(1000);
    let [one, other] = [door.admit_used(address(3)), door.admit_used(address(3))];
    door.is_in(one, Phase::Receiving);
    assert_eq!(door.crowd.most_dispensable(), Some(other));
    door.is_in(other, Phase::Sending);
    assert_eq!(door.crowd.most_dispensable(), Some(one));
    door.is_in(one, Phase::Waiting);
    assert_eq!(door.crowd.most_dispensable(), Some(other), "who does not take an answer goes last");
    door.is_in(other, Phase::Waiting);
    assert_eq!(door.crowd.most_dispensable(), None);
}

#[test]
fn silent_connections_of_many_addresses_make_room_for_one_another_and_an_office_stays() {
    let mut door = Door::new(1024);
    let office: Vec<_> = (0..10).map(|_| door.admit_used(address(1))).collect();
    for place in &office[..5] {
        door.is_in(*place, Phase::Receiving);
    }
    let begun = door.admit(address(2));
    door.is_in(begun, Phase::Receiving);
    for number in 0..1100_u16 {
        let [high, low] = number.to_be_bytes();
        if let Some(victim) = door.squeeze_in([198, 51, high, low]) {
            assert!(!office.contains(&victim) && victim != begun, "{number}");
        }
    }
}

#[test]
fn whoever_has_just_come_is_not_sent_away_for_others_who_had_an_answer_once_and_are_idle() {
    let mut door = Door::new(64);
    let squatters: Vec<_> = (0..64).map(|last| door.admit_used(address(last))).collect();
    assert_eq!(door.squeeze_in([192, 0, 2, 1]), Some(squatters[0]));
    let newcomer = squatters[0]; // its place
    for (last, squatter) in (2..4).zip(&squatters[1..]) {
        assert_eq!(door.squeeze_in([192, 0, 2, last]), Some(*squatter), "not {newcomer}");
    }
}

#[test]
fn a_48_full_of_networks_pays_before_others_of_the_same_use() {
    let mut door = Door::new(128);
    let honest: Vec<_> = (0..20).map(|last| door.admit_used(address(last))).collect();
    for number in 0..108 {
        door.admit_used([0x2001, 0xdb8, 1, number, 0, 0, 0, 1]);
    }
    for last in 0..50 {
        let victim = door.squeeze_in([192, 0, 2, last]).unwrap();
        assert!(!honest.contains(&victim), "{last}");
    }
}

#[test]
fn a_proxy_does_not_pay_for_the_many_it_speaks_for() {
    let mut door = Door::new(4);
    for _ in 0..2 {
        let place = door.admit_as(address(9), true);
        door.crowd.get_mut(place).unwrap().has_sent_one();
    }
    let younger = door.admit_used(address(1));
    door.admit_used(address(2));
    assert_eq!(door.crowd.room_for(address(3).into(), false), Room::InPlaceOf(younger));
}

#[test]
fn who_has_gone_counts_no_more_and_its_ticket_is_nobody_elses() {
    let mut door = Door::new(4);
    door.admit(address(1));
    let place = door.admit(address(1));
    let serial = door.crowd.get_mut(place).unwrap().serial;
    let ticket = Ticket { number: 1, place, serial, sender: address(1).into() };
    assert!(door.crowd.of(ticket).is_some());
    assert!(door.crowd.remove(place).is_some());
    assert!(door.crowd.remove(place).is_none());
    assert_eq!(door.crowd.room_for(address(1).into(), false), Room::Free);
    assert_eq!(door.admit(address(2)), place);
    assert!(door.crowd.of(ticket).is_none());
}

#[test]
fn whoever_has_just_come_is_not_sent_away_for_a_few_addresses_that_keep_the_lanes_busy() {
    let mut door = Door::new(64);
    for number in 0..64 {
        let place = door.admit_used(address(number / 16));
        door.is_in(place, if number % 2 == 0 { Phase::Waiting } else { Phase::Sending });
    }
    door.squeeze_in([192, 0, 2, 1]);
    let newcomers: Vec<_> =
        door.crowd.places().into_iter().filter(|place| door.is_newcomer(*place)).collect();
    for _ in 0..30 {
        let victim = door.squeeze_in(address(200)).unwrap();
        assert!(!newcomers.contains(&victim));
        door.settle();
    }
}
