"""Owns the two tiers of the tests: which ones are slow, and how many examples the quick tier takes.
Must not know what the tests test.

`./test --quick` runs what is not slow, in the profile `quick`; `./test` runs everything."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings

# A shell starts background jobs with SIGINT ignored, which children inherit. Tests send them SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("quick", max_examples=10, deadline=None)

_SLOW = {
    "tests/corelib": {
        "test_200_at_once",
        "test_a_barrage_tears_nothing_apart",
        "test_a_flood_leaves_room_for_others",
        "test_a_hundred_thousand_timers_cancelled_and_armed_at_random",
        "test_a_number_used_again_ten_thousand_times",
        "test_a_service_is_ended_at_random_moments_and_the_next_start_is_clean",
        "test_a_storm_of_signals_changes_nothing",
        "test_a_thousand_races_of_wake_with_sleep",
        "test_closing_at_any_moment_leaves_no_caller_behind",
        "test_cpythons_tests_of_sockets_pass",
        "test_eight_threads_post_a_hundred_thousand_each",
        "test_fork_in_callbacks_disturbs_neither_side",
        "test_it_behaves_like_a_sorted_list",
        "test_it_ends_a_sleep",
        "test_lost_events_are_told",
        "test_more_fds_than_wanted_are_closed_and_told",
        "test_ten_thousand_posts_of_a_thread_each_wake_a_sleeping_loop",
        "test_twenty_thousand_signals_and_wakes_during_one_callback",
    },
    "tests/ipcc": {
        "test_a_change_breaks_what_it_is_said_to_break",
        "test_a_large_circle_of_structs",
        "test_a_long_chain",
        "test_a_long_chain_of_structs",
        "test_any_interface_compiles",
        "test_any_interface_is_formatted",
        "test_depth_is_bounded",
        "test_every_construct_with_random_comments",
        "test_every_interface_of_the_repository",
        "test_format_of_all_at_once",
        "test_format_twice",
        "test_no_message_that_peers_would_refuse_goes_unnoticed",
        "test_output_does_not_depend_on_hashes",
        "test_pyright_agrees",
        "test_random_interfaces_with_random_comments",
        "test_strictly_typed",
        "test_the_compiled_module_is_the_same",
        "test_wrong_command_line",
    },
    "tests/ipclib": {
        "test_a_blocked_call_sets_other_messages_aside",
        "test_a_changed_parameter_type_is_a_schema_mismatch",
        "test_a_child_that_it_leaves_behind_keeps_no_connection_open",
        "test_a_constructor_that_fails_keeps_no_worker",
        "test_a_crash_is_seen_and_leaves_nothing",
        "test_a_geometry_that_no_bitmap_has_is_refused_before_any_memory_is_taken",
        "test_a_lie_about_memory_is_refused_and_leaks_nothing",
        "test_a_message_inserted_before_the_others_is_noticed_by_every_call",
        "test_a_process_that_is_killed_and_started_again",
        "test_a_real_process_is_activated_and_activated_again",
        "test_a_service_that_was_found_is_no_worker",
        "test_a_timeout_leaves_the_connection_in_order",
        "test_a_timer_whose_callback_calls_does_not_recurse",
        "test_a_worker_ends_with_its_starter",
        "test_an_enumerator_that_one_side_does_not_know_is_a_schema_mismatch_and_nothing_is_misread",
        "test_an_orderly_exit_sends_what_was_posted",
        "test_ctrl_c_ends_a_call_and_leaves_the_connection_in_order",
        "test_deferred_work_behind_a_call_runs_inside_it",
        "test_every_descriptor_is_closed_once",
        "test_files_arrive_in_order_and_none_is_left_over",
        "test_files_of_clients_that_vanish_are_closed",
        "test_it_does_not_think_that_its_children_are_started_so",
        "test_killed_and_restarted_on_one_path",
        "test_large_byte_strings_with_fifty_other_clients",
        "test_memory_truncated_while_it_is_read_kills_nobody",
        "test_nested_calls_get_their_own_answers_in_whatever_order_they_come",
        "test_nesting_is_bounded",
        "test_nobody_is_blamed_for_what_the_runtime_closes",
        "test_one_that_ends_by_itself_is_not_killed",
        "test_patience_waits_for_the_service",
        "test_quit_during_a_call_ends_the_loop_after_it",
        "test_shutdown_by_a_callback_ends_the_call",
        "test_values_are_counted_exactly",
        "test_views_outlive_their_bitmap_and_then_give_the_memory_back",
        "test_what_goes_on_while_a_call_waits",
        "test_without_numpy_and_pillow_the_error_says_what_to_install",
    },
}
"""Slow tests by the folder that they are in, where the tests do not say so themselves."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        name = item.name.partition("[")[0]
        if any(item.nodeid.startswith(f"{folder}/") and name in tests for folder, tests in _SLOW.items()):
            item.add_marker(pytest.mark.slow)
