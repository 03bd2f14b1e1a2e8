//! The refresh protocol explored: every interleaving of an honest client, a network that loses and delays, and a
//! server that decides with the real `session::decide`, up to a small number of rotations.
//!
//! Scenarios A, B, G, G0, I, J, J0 and J3 must never refuse the honest client. The others leave out one rule each,
//! and there the exploration must find a refusal: that shows that it can, and that the rule is needed.
//!
//! Time goes in ticks of a second. An abandoned request may still reach the server for `request_life` ticks.

mod exploration;

use exploration::one_client::{self, OneClient};
use exploration::two_tabs::{self, TwoTabs};

#[test]
fn a_losses_time_outs_retries_and_late_duplicates_never_sign_out() {
    one_client::holds(OneClient::default());
}

#[test]
fn b_a_server_that_loses_unsynced_rotations_never_signs_out() {
    one_client::holds(OneClient { crashes: true, ..OneClient::default() });
}

#[test]
fn g_a_grace_shorter_than_requests_live_never_signs_out_one_client() {
    one_client::holds(OneClient { grace_ticks: 2, request_life: Some(3), ..OneClient::default() });
}

#[test]
fn g0_without_grace_one_client_is_never_signed_out() {
    one_client::holds(OneClient { grace_ticks: 0, ..OneClient::default() });
}

#[test]
fn i_without_grace_and_with_crashes_one_client_is_never_signed_out() {
    let scenario =
        OneClient { grace_ticks: 0, crashes: true, generations: 4, operations: 5, ..OneClient::default() };
    one_client::holds(scenario);
}

#[test]
fn c_without_row_4_a_crash_signs_out() {
    one_client::fails(OneClient { crashes: true, heals_ahead: false, ..OneClient::default() });
}

#[test]
fn d_without_retry_keys_a_lost_answer_signs_out() {
    one_client::fails(OneClient { retry_keys: false, ..OneClient::default() });
}

#[test]
fn e_a_retry_key_that_does_not_survive_a_reboot_signs_out() {
    let scenario =
        OneClient { key_is_persisted: false, generations: 4, operations: 5, ..OneClient::default() };
    one_client::fails(scenario);
}

#[test]
fn f_a_key_an_operation_and_no_wait_signs_out() {
    one_client::fails(OneClient { key_per_token: false, waits: false, ..OneClient::default() });
}

#[test]
fn f_prime_a_key_a_token_and_no_wait_signs_out() {
    one_client::fails(OneClient { waits: false, two_keys: false, ..OneClient::default() });
    // Row 8a spares a request that is late by two rotations. Without grace there can be three meanwhile.
    one_client::holds(OneClient { waits: false, ..OneClient::default() });
    one_client::fails(OneClient { waits: false, grace_ticks: 0, ..OneClient::default() });
}

#[test]
fn h_requests_that_live_for_ever_sign_out() {
    let scenario = OneClient { request_life: None, generations: 4, operations: 5, ..OneClient::default() };
    one_client::fails(OneClient { two_keys: false, ..scenario });
    // Row 8a puts it off by one rotation.
    let scenario = OneClient { request_life: None, generations: 5, operations: 5, ..OneClient::default() };
    one_client::fails(scenario);
}

#[test]
fn j_two_tabs_that_share_a_key_and_no_lock_are_never_signed_out() {
    two_tabs::holds(TwoTabs::default());
}

#[test]
fn j0_two_tabs_without_grace_are_never_signed_out() {
    two_tabs::holds(TwoTabs { grace_ticks: 0, ..TwoTabs::default() });
}

#[test]
fn j3_two_tabs_with_a_longer_grace_are_never_signed_out() {
    two_tabs::holds(TwoTabs { grace_ticks: 4, access_ttl: 4, ..TwoTabs::default() });
}

#[test]
fn ja_a_key_a_tab_signs_out() {
    two_tabs::fails(TwoTabs { key_is_shared: false, ..TwoTabs::default() });
}

#[test]
fn jb_remembering_only_the_last_key_signs_out() {
    two_tabs::fails(TwoTabs { two_keys: false, ..TwoTabs::default() });
}

#[test]
fn jc_setting_the_cookie_again_without_a_rotation_signs_out() {
    two_tabs::fails(TwoTabs { unrotated_sets_cookie: true, ..TwoTabs::default() });
}

#[test]
fn jd_a_tab_that_may_refresh_again_at_once_signs_out() {
    two_tabs::fails(TwoTabs { access_ttl: 0, ..TwoTabs::default() });
}

#[test]
fn je_a_grace_shorter_than_requests_live_and_not_0_signs_two_tabs_out() {
    two_tabs::fails(TwoTabs { grace_ticks: 2, request_life: 3, ..TwoTabs::default() });
}
