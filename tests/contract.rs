//! Where each claim of the contract is proved.
//!
//! The proofs are tests with real processes in `tests/sync`, `tests/data` and `tests/kill`; here is the table that leads to them.
//! Its one test sees that every proof it names exists, is a test, and runs in the test command.

use std::fs;
use std::path::Path;

/// An object's claim, the file that proves it, and the tests there.
type Claim = (&'static str, &'static str, &'static [&'static str]);

const LOCK: &[Claim] = &[
    (
        "mutual exclusion between threads and processes",
        "sync/lock",
        &["threads_and_processes_exclude_each_other"],
    ),
    ("not re-entrant: an error, no hang", "sync/lock", &["the_calling_thread_cannot_wait_for_itself"]),
    (
        "hand-over: ended by exactly one release, by anyone, and by no death",
        "sync/lock",
        &[
            "a_hand_over_is_ended_by_anybody_once_and_by_no_death",
            "a_hand_over_carries_the_news_of_a_death_along",
        ],
    ),
    (
        "a death is told until somebody makes it consistent",
        "sync/lock",
        &[
            "a_killed_holder_is_recovered_and_told_until_somebody_repairs",
            "a_sleeping_waiter_inherits_from_a_killed_holder",
        ],
    ),
    ("a panic is told likewise", "sync/lock", &["a_panic_under_the_guard_is_told_like_a_death"]),
    (
        "at whatever instruction, also of the recovery",
        "kill/lock",
        &["lock", "unlock", "take_over", "hand_over", "release"],
    ),
];

const RLOCK: &[Claim] = &[
    (
        "the owner is a participant's thread",
        "sync/rlock",
        &[
            "one_thread_enters_again_and_others_wait_for_the_last_guard",
            "all_handles_of_a_process_know_the_owner",
            "a_forked_child_is_not_the_owner",
        ],
    ),
    ("the next owner begins at depth one", "sync/rlock", &["a_dead_owners_depth_is_forgotten"]),
    ("a panic marks it", "sync/rlock", &["a_panic_through_any_level_marks_the_lock"]),
    ("at whatever instruction", "kill/rlock", &["enter_twice", "leave_twice", "take_over"]),
];

const RW_LOCK: &[Claim] = &[
    ("many readers or one writer", "sync/rwlock", &["many_readers_or_one_writer", "threads_read_together"]),
    ("writers are not starved", "sync/rwlock", &["a_waiting_writer_is_not_starved"]),
    ("downgrade", "sync/rwlock", &["downgrading_lets_nobody_write_in_between"]),
    ("dead readers are subtracted", "sync/rwlock", &["dead_readers_are_struck_out"]),
    (
        "a dead writer is told",
        "sync/rwlock",
        &["a_dead_writer_is_told_to_readers_and_writers_until_one_repairs"],
    ),
    ("more readers than entries still read", "sync/rwlock", &["more_processes_than_entries_read_too"]),
];

const SEMAPHORE: &[Claim] = &[
    ("owned permits, and never more than there are", "sync/semaphore", &["never_more_owners_than_permits"]),
    (
        "release and forget give unowned ones",
        "sync/semaphore",
        &["released_permits_need_no_owner", "forgotten_permits_outlive_their_owner_and_stay_out"],
    ),
    ("permits of the dead come back, exactly", "sync/semaphore", &["permits_of_the_dead_come_back_exactly"]),
    ("dead waiters eat none", "sync/semaphore", &["dead_waiters_eat_no_permit"]),
    ("who is entitled finds one", "sync/semaphore", &["who_is_entitled_to_a_permit_always_finds_it"]),
    (
        "none lost, none minted, at any instruction",
        "kill/semaphore",
        &[
            "acquire",
            "give",
            "forget",
            "release_one",
            "reclaim",
            "acquire_from_the_bank",
            "reclaim_from_the_bank",
        ],
    ),
    (
        "bounded: over-release is an error",
        "sync/semaphore",
        &[
            "a_bounded_semaphore_takes_back_what_is_out_and_nothing_more",
            "racing_over_releases_make_no_permit",
        ],
    ),
];

const EVENT: &[Claim] = &[
    (
        "wait after set never blocks",
        "sync/event",
        &["set_clear_and_wait", "a_set_that_is_cleared_at_once_is_not_missed"],
    ),
    ("the dead hinder nobody", "sync/event", &["dead_waiters_hinder_neither_set_nor_is_set_nor_the_living"]),
    ("auto-reset: one waiter a set", "sync/event", &["auto_reset_releases_one_waiter_a_set"]),
    (
        "a signal taken by the dead goes to the next",
        "sync/event",
        &["a_signal_taken_by_the_dead_goes_to_the_next"],
    ),
    (
        "at whatever instruction",
        "kill/event",
        &["set", "clear", "wait", "auto_set", "auto_wait", "auto_pass_on"],
    ),
];

const CONDITION: &[Claim] = &[
    ("over a shared Lock", "sync/condition", &["over_a_lock_from_elsewhere_with_several_conditions"]),
    ("over an RLock", "sync/condition", &["all_levels_of_an_rlock_are_left_and_entered_again"]),
    ("notify(n) wakes exactly n, in order", "sync/condition", &["notify_wakes_exactly_so_many_in_order"]),
    ("wait_while and timeouts", "sync/condition", &["wait_while_looks_first_and_last"]),
    (
        "the dead eat no notification",
        "sync/condition",
        &["the_dead_eat_no_notification", "a_notification_goes_on_when_its_waiter_dies_before_it_returns"],
    ),
    ("a dead notifier's notify happened or did not", "kill/condition", &["notify_one", "notify_all"]),
    ("the lock's rules", "sync/condition", &["waiters_are_told_when_the_holder_dies_before_it_notifies"]),
    (
        "notify never blocks",
        "sync/condition",
        &["a_stopped_waiter_stops_neither_the_notifier_nor_the_others"],
    ),
];

const BARRIER: &[Claim] = &[
    ("wait returns index and leader", "sync/barrier", &["rounds_of_processes_and_threads"]),
    (
        "the action is done by one, before anybody leaves",
        "sync/barrier",
        &["the_action_runs_once_before_anybody_leaves", "an_action_that_fails_or_panics_breaks_it"],
    ),
    ("abort, and reset heals", "sync/barrier", &["abort_and_reset"]),
    ("a timeout breaks it", "sync/barrier", &["a_timeout_breaks_it_for_all"]),
    (
        "a member's death breaks it for all",
        "sync/barrier",
        &["a_dead_waiter_breaks_it_for_all_who_wait_and_come", "a_member_that_dies_between_rounds_breaks_it"],
    ),
    ("who has no seat does not count", "sync/barrier", &["who_has_no_seat_may_die"]),
];

const VALUE: &[Claim] = &[
    (
        "whole old or whole new, even if the writer is killed inside",
        "kill/value",
        &["set", "update", "guard", "get_beside_a_dead_writer"],
    ),
    (
        "a guard commits a copy on drop",
        "data/value",
        &["a_guard_commits_on_drop_and_not_on_panic_or_discard"],
    ),
    (
        "only an in-place guard can leave OwnerDied",
        "data/value",
        &[
            "death_under_a_copying_guard_leaves_the_old_value_in_silence",
            "death_under_an_in_place_guard_is_told_until_made_consistent",
        ],
    ),
    ("corrupt bytes are an error", "data/value", &["a_wrong_type_is_refused_and_invalid_bytes_are_an_error"]),
    (
        "the atomic flavour has added or has not",
        "data/atomic_value",
        &["a_killed_adder_has_added_or_has_not"],
    ),
];

const ARRAY: &[Claim] = &[
    ("disjoint ranges never block each other", "data/array", &["held_ranges_block_their_own_elements_only"]),
    ("OwnerDied names the range", "data/array", &["death_in_a_range_is_told_there_and_nowhere_else"]),
    ("bulk copies", "data/array", &["copies_are_snapshots_while_others_write"]),
    ("grows", "data/array", &["grows_in_place_for_everybody"]),
    ("file-backed", "data/array", &["arrays_on_disk_survive_their_makers"]),
    ("the atomic flavour", "data/atomic_array", &["elements_are_independent", "bulk_operations_copy_ranges"]),
    ("of locks, too", "data/lock_array", &["a_killed_holder_leaves_its_own_locks_and_no_other"]),
];

const LATCH_AND_ONCE: &[Claim] = &[
    ("a latch opens when all have arrived", "sync/latch", &["all_go_on_when_the_last_arrives"]),
    ("it counts no further", "sync/latch", &["counts_down_to_open_and_no_further"]),
    ("dead waiters hinder nobody", "sync/latch", &["sleepers_are_woken_and_dead_ones_hinder_nobody"]),
    ("exactly one does it", "sync/once", &["one_of_many_does_it_and_all_see_it_done"]),
    ("who dies in it is replaced", "sync/once", &["who_dies_in_it_is_replaced_by_one_that_waits"]),
];

const QUEUE_BATCHES: &[Claim] = &[
    (
        "what is written in place is put in one step",
        "queue/batches",
        &["a_batch_is_put_in_one_step", "what_was_not_written_is_not_put"],
    ),
    (
        "what is read in place comes in order, and again if it was not released",
        "queue/batches",
        &["items_are_lent_in_order_and_come_back_in_order"],
    ),
    (
        "the dead leave all of a batch or nothing",
        "queue/batches",
        &["the_dead_leave_no_part_of_a_batch_and_lose_none_that_they_read"],
    ),
    (
        "at whatever instruction, also of whoever takes it apart",
        "kill/queue",
        &["commit_a_batch", "give_up_a_batch", "release_a_batch", "unpack_a_batch", "skip_dead_batches"],
    ),
];

const QUEUE: &[Claim] = &[
    (
        "every call does what is said of it, also beside deaths",
        "queue/model",
        &["all_calls_do_what_the_model_does", "the_dead_leave_what_the_model_says"],
    ),
    (
        "what is given up, or reserved by the dead, takes no room",
        "queue/in_place",
        &[
            "dropped_reservations_leave_room_though_nobody_consumes",
            "reservations_of_the_dead_leave_room_though_nobody_consumes",
        ],
    ),
    (
        "nobody waits for the dead behind the living",
        "queue/in_place",
        &["a_living_reservation_hides_nothing_that_the_dead_were_reading"],
    ),
    (
        "all who can go on are called",
        "queue/words",
        &[
            "a_commit_calls_all_who_can_get_something",
            "a_release_calls_all_who_can_put_something",
            "an_item_that_came_back_calls_all_who_can_put_something_when_it_is_taken",
            "the_last_of_a_closed_queue_calls_all_who_wait_for_its_end",
        ],
    ),
    (
        "bytes that are no item take no other item along",
        "queue/in_place",
        &["bytes_that_are_no_item_come_alone_and_take_no_other_item_along"],
    ),
    (
        "a child's copies of guards write nothing",
        "queue/in_place",
        &["a_childs_copies_of_guards_write_nothing"],
    ),
    (
        "a task that dies being taken from a full queue counts as done, by option",
        "kill/joinable",
        &["take_from_a_full_queue"],
    ),
    (
        "positions wrap",
        "queue/wrap",
        &["queues_go_on", "queues_of_bytes_go_on", "queues_with_two_ends_go_on", "broadcasts_go_on"],
    ),
];

const PROCESS: &[Claim] = &[
    (
        "results, errors and panics come back, whatever they carry",
        "process/attack",
        &[
            "a_panic_is_a_panic_whatever_it_carries",
            "arguments_that_cannot_be_read_are_an_error_of_the_arguments",
        ],
    ),
    (
        "ends of all kinds are seen",
        "process/attack",
        &["hard_ends_are_seen_as_what_they_are", "a_task_that_becomes_another_program_has_that_ones_end"],
    ),
    (
        "nothing is left of a start that failed",
        "process/attack",
        &[
            "a_process_that_cannot_be_watched_is_not_left_behind",
            "without_descriptors_a_start_is_an_error_and_leaves_nothing",
            "a_process_that_is_stopped_in_the_handshake_is_given_up",
        ],
    ),
    (
        "what a task does with its process hurts nobody else",
        "process/attack",
        &[
            "a_fork_that_returns_from_the_task_says_nothing",
            "a_daemons_end_is_not_the_tasks",
            "a_task_that_closes_everything_spoils_no_file",
        ],
    ),
    (
        "tasks need no names of their own",
        "process/attack",
        &["tasks_of_one_name_and_signature_are_told_apart"],
    ),
    (
        "children end with their starter, unless detached",
        "process/ends",
        &["children_die_with_a_killed_starter_unless_detached", "it_outlives_the_thread_that_started_it"],
    ),
    (
        "whenever it is killed, and then nothing is left",
        "process/owner_deaths",
        &["nothing_is_left_of_a_starter_that_is_killed"],
    ),
    (
        "a started process that is killed, at any instruction, leaves its whole result or none",
        "kill/process",
        &[
            "run_a_task",
            "run_a_task_that_panics",
            "start_a_process",
            "whoever_has_lost_its_starter_calls_nothing",
        ],
    ),
];

const POOL: &[Claim] = &[
    (
        "whatever ends a worker costs the one task that it ran; finished ones keep their outcomes",
        "process/pool_deaths",
        &["every_way_to_end_costs_exactly_that_task", "under_random_kills_each_task_has_one_outcome"],
    ),
    (
        "also in the middle of a chunk",
        "process/pool_async",
        &["finished_tasks_of_a_chunk_keep_their_outcomes"],
    ),
    (
        "or ends the pool, if that is wanted",
        "process/pool_async",
        &["a_pool_that_shall_break_breaks_with_its_first_death_only"],
    ),
    (
        "the pool heals, but not for ever in vain",
        "process/pool_deaths",
        &["an_idle_worker_is_replaced_too", "a_failing_initialiser_ends_the_pool_with_its_reason"],
    ),
    ("a bounded window", "process/pool_async", &["a_slow_first_task_lets_no_iterator_run_ahead"]),
    (
        "workers are heard while the caller does something else",
        "process/pool_async",
        &["workers_go_on_while_who_iterates_does_something_else", "who_waits_for_one_job_hears_for_all"],
    ),
    ("at whatever instruction of a worker", "kill/pool", &["work", "work_alone", "work_long"]),
    (
        "map and its kin, at once, as a job, as an iterator",
        "process/pool",
        &["map_and_its_kin_keep_the_order", "input_is_drawn_no_further_than_the_window"],
    ),
    ("callbacks, whatever they do", "process/pool", &["callbacks_are_called_whatever_they_do"]),
    (
        "all of them before a join returns",
        "process/pool_async",
        &["a_pool_is_joined_when_its_callbacks_were_called", "no_tasks_are_done_at_once_and_said_to_be"],
    ),
    (
        "also if they use, end or drop the pool",
        "process/pool_hostile",
        &["a_callback_may_use_and_end_the_pool", "a_waker_may_drop_the_pool", "all_may_end_a_pool_at_once"],
    ),
    (
        "iterators, whatever they do",
        "process/pool_hostile",
        &["iterators_may_be_endless_panic_and_use_the_pool"],
    ),
    (
        "initialiser, max tasks per child",
        "process/pool",
        &["workers_are_initialised_and_replaced_after_their_quota"],
    ),
    (
        "close, terminate, cancel",
        "process/pool",
        &[
            "what_was_submitted_before_the_close_is_done_and_nothing_after",
            "termination_ends_all_tasks_with_an_error_and_leaves_no_process",
            "what_no_worker_has_can_be_taken_back",
        ],
    ),
    (
        "jobs are waited for: the first, the first error, all, as they come, as futures",
        "process/executor",
        &[
            "jobs_come_as_they_are_done",
            "one_or_all_are_waited_for",
            "the_first_error_ends_the_wait",
            "jobs_are_futures",
        ],
    ),
];

const MANAGER: &[Claim] = &[
    (
        "calls of clients on the same machine go through rings, where both sides have them; the socket does as well",
        "manager/rings",
        &[
            "they_are_used_where_both_sides_have_them_and_nowhere_else",
            "they_are_as_the_page_describes_them",
            "frames_longer_than_the_ring_go_in_pieces",
            "sleepers_are_woken_and_cost_nothing",
            "a_thousand_connections_leave_nothing",
        ],
    ),
    (
        "whatever a client writes into its rings ends it alone",
        "manager/rings",
        &[
            "positions_that_cannot_be_end_their_client_with_a_reason",
            "false_sleepers_cost_bells_and_nothing_else",
            "random_words_and_bytes_break_nothing",
            "a_frame_that_is_never_finished_ends_its_client_alone",
            "a_stopped_client_with_a_full_ring_delays_nobody",
            "a_killed_server_is_noticed_by_who_waits_for_room",
        ],
    ),
    (
        "a server process of its own, which ends with its starter and leaves no socket",
        "manager/start",
        &[
            "it_serves_all_that_connect_until_it_is_dropped",
            "it_ends_with_a_killed_starter_and_leaves_no_socket",
        ],
    ),
    (
        "dicts, lists, values, arrays and namespaces of whatever serde carries, also of mixed content",
        "manager/objects",
        &[
            "a_dict_carries_what_serde_carries",
            "mixed_content_as_in_the_tutorials",
            "a_dict_is_a_hash_map",
            "lists_values_arrays_and_namespaces",
        ],
    ),
    (
        "locks, conditions, barriers, semaphores and queues",
        "manager/objects",
        &[
            "locks_exclude_threads_and_clients",
            "conditions_barriers_and_semaphores",
            "queues_hand_every_item_to_one",
        ],
    ),
    (
        "nested objects; one in flight is kept",
        "manager/objects",
        &[
            "nested_objects_are_references_and_live_as_long_as_they_are_referred_to",
            "a_handle_keeps_its_object_on_the_way",
        ],
    ),
    ("types of one's own", "manager/objects", &["registered_types_are_called_by_name"]),
    ("batches, and transactions over several objects", "manager/objects", &["batches_and_transactions"]),
    (
        "runs: calls of their own in one frame; no more at once than their client may leave unread",
        "manager/runs",
        &[
            "results_share_frames_and_a_failure_has_its_own",
            "calls_of_a_run_that_wait_delay_none",
            "a_run_stops_where_its_answers_are_too_much_and_goes_on_when_they_are_read",
            "more_calls_than_a_run_has_end_their_client",
        ],
    ),
    (
        "pipelines: in order, each call by itself, longer than the rings, from many threads of one connection",
        "manager/pipeline",
        &[
            "a_pipeline_answers_in_order_and_each_call_fails_by_itself",
            "a_pipeline_keeps_its_objects_and_does_nothing_until_it_runs",
            "a_call_that_is_too_long_is_not_added_and_the_others_are_done",
            "more_than_the_rings_hold_goes_both_ways",
            "threads_of_one_connection_call_wait_and_pipeline_at_once",
            "a_pipeline_to_a_server_that_has_ended_says_so",
        ],
    ),
    (
        "calls that wait block no other call of their connection",
        "manager/objects",
        &["a_blocking_call_blocks_no_other_call_of_its_connection"],
    ),
    ("what a dead client held comes back", "manager/death", &["what_a_killed_client_held_comes_back"]),
    (
        "a dead server is an error for all that wait, and its socket prevents no start",
        "manager/death",
        &["a_killed_server_is_an_error_for_all_that_wait_and_its_socket_can_be_taken"],
    ),
    (
        "over TCP a cut connection is no death: the guard is lost, and the successor is told",
        "manager/remote",
        &["a_cut_wire_loses_the_guard_and_the_successor_is_told"],
    ),
    (
        "over TLS everything is as over TCP: calls, large values both ways at once, cuts, deaths, good byes",
        "manager/tls",
        &[
            "a_manager_at_a_tls_address_does_all_that_others_do",
            "large_values_go_both_ways_at_once",
            "a_cut_wire_is_no_death_over_tls_either",
            "who_says_good_bye_over_tls_leaves_at_once",
            "a_killed_server_is_an_error_for_all_that_wait_over_tls",
            "a_shutdown_says_so_over_tls",
            "a_thousand_connections_leave_nothing",
        ],
    ),
    (
        "who shows no good certificate, or speaks no TLS, is refused by name; the others notice nothing",
        "manager/tls",
        &[
            "servers_that_show_no_good_certificate_are_not_believed",
            "files_that_cannot_be_used_are_named",
            "what_is_missing_is_said_before_anything_is_tried",
            "who_does_not_know_the_key_stays_outside_also_over_tls",
            "who_speaks_another_language_is_told_so",
            "a_server_that_does_not_finish_the_handshake_is_given_up",
            "silent_and_slow_strangers_are_ended",
            "garbage_and_cut_records_end_their_client_alone",
            "a_client_that_never_reads_is_ended_also_over_tls",
            "what_was_wrong_with_a_handshake_is_in_the_servers_log",
        ],
    ),
    (
        "no acknowledged write is lost, whoever is killed",
        "manager/storm",
        &["no_acknowledged_write_is_lost_and_nothing_stays_locked"],
    ),
    (
        "every object behaves as if one client after the other used it, whoever is killed; nothing is left of the dead",
        "manager/linear/storm",
        &["what_clients_are_told_can_have_been"],
    ),
    (
        "a server that is stopped and goes on is not noticed; one that is killed is told to all, with what they may believe",
        "manager/linear/storm",
        &["a_server_that_is_killed_in_the_middle_is_told_to_all"],
    ),
    (
        "a forked child uses and ends nothing of its parent's",
        "manager/forks",
        &[
            "a_forked_child_uses_nothing_of_its_parents_and_ends_nothing",
            "a_child_of_a_busy_process_does_not_hang",
            "a_forked_child_does_not_end_its_parents_server",
        ],
    ),
    (
        "whoever judges that knows bad histories",
        "manager/linear/judged",
        &[
            "a_lost_update_is_seen",
            "a_stale_read_is_seen",
            "a_write_that_is_done_twice_is_seen",
            "a_queue_out_of_order_is_seen",
            "what_the_dead_had_taken_comes_back_once_and_to_its_place",
            "a_lock_with_two_holders_or_with_none_for_ever_is_seen",
            "a_writer_beside_readers_is_seen",
            "half_a_transaction_is_seen",
            "what_was_sent_in_an_order_is_done_in_it",
            "overlapping_histories_that_can_be_are_fine_and_one_wrong_answer_is_not",
        ],
    ),
    (
        "any language can join",
        "manager/python",
        &["a_python_program_takes_part", "a_python_program_with_the_wrong_key_stays_outside"],
    ),
    (
        "rings on one machine, by themselves; the socket otherwise",
        "manager/rings",
        &[
            "they_are_used_where_both_sides_have_them_and_nowhere_else",
            "frames_longer_than_the_ring_go_in_pieces",
            "sleepers_are_woken_and_cost_nothing",
        ],
    ),
    (
        "bad input ends its client alone, with a reason",
        "manager/hostile",
        &[
            "garbage_is_told_what_it_is",
            "bad_frames_end_their_client_with_a_reason",
            "random_bytes_break_nothing",
            "a_million_tiny_frames_are_answered_between_those_of_others",
            "a_client_that_never_reads_is_ended_and_costs_bounded_memory",
            "what_would_take_too_long_is_refused_and_not_begun",
            "long_calls_of_one_are_done_between_those_of_others",
            "slow_senders_and_silent_strangers_are_ended",
            "too_many_clients_are_told_so",
        ],
    ),
    (
        "also through rings",
        "manager/rings",
        &[
            "positions_that_cannot_be_end_their_client_with_a_reason",
            "false_sleepers_cost_bells_and_nothing_else",
            "random_words_and_bytes_break_nothing",
            "a_stopped_client_with_a_full_ring_delays_nobody",
        ],
    ),
    (
        "so do crowds: strangers, clients, bytes under way, open files",
        "manager/crowd",
        &[
            "strangers_keep_no_client_out",
            "clients_are_counted_when_they_have_shown_who_they_are",
            "bytes_under_way_are_bounded_in_all",
            "a_flood_of_connections_starves_nobody",
            "holdings_are_counted_like_values",
            "who_holds_what_is_counted_too",
            "answers_that_a_client_does_not_take_are_not_sent",
            "a_server_without_files_lets_in_who_waits_when_others_go",
        ],
    ),
    (
        "memory is given back when clients are idle",
        "manager/patience",
        &["idle_clients_keep_no_large_buffers"],
    ),
    (
        "who is stopped, idle or slow costs nobody anything, and keeps what it holds as long as it lives",
        "manager/patience",
        &[
            "a_stopped_holder_keeps_its_lock_and_nothing_else",
            "a_hundred_idle_clients_cost_nothing",
            "who_trickles_is_ended_like_who_is_silent",
            "what_a_thread_leaves_behind_its_client_holds",
            "endless_timeouts_do_not_end",
        ],
    ),
    (
        "who is thrown out is lost, and its successor is told",
        "manager/crowd",
        &["who_is_thrown_out_is_lost_and_not_dead"],
    ),
    (
        "what somebody is told who is refused or ended is in the server's log, too",
        "manager/logged",
        &["what_a_refused_client_is_told_is_in_the_servers_log"],
    ),
    (
        "who does not know the key stays outside, on either side",
        "manager/hostile",
        &[
            "who_does_not_know_the_key_stays_outside",
            "a_replayed_proof_is_refused",
            "an_impostor_is_not_believed",
            "another_user_is_refused_also_where_the_file_lets_it_connect",
        ],
    ),
];

/// SEMANTICS of Python's managers, and of the collections of std, line by line.
const MANAGER_SEMANTICS: &[Claim] = &[
    (
        "the methods of a managed type that are not private are called by name, through a proxy that has them",
        "manager/semantics",
        &["a_managed_type_has_the_methods_that_are_not_private"],
    ),
    (
        "a new server at the same place has none of the old one's objects, whatever their numbers are",
        "manager/semantics",
        &["a_new_server_at_the_same_place_has_none_of_the_old_ones_objects"],
    ),
    (
        "a server that hangs is given up, if that is wanted, by all who wait for it and by nobody who waits by right",
        "manager/start",
        &["a_server_that_hangs_is_given_up_by_who_wants_that", "patience_leaves_no_thread_behind"],
    ),
    (
        "a started server passes the terminal's signals over, ends in good order by SIGTERM, and may be of one's own making",
        "manager/start",
        &[
            "its_server_is_not_interrupted_with_its_starter",
            "sigterm_ends_its_server_in_good_order",
            "a_killed_server_is_told_and_leaves_nothing_behind",
            "a_server_of_ones_own_making_has_ones_own_types_limits_and_key",
        ],
    ),
    (
        "dicts, lists, namespaces and arrays have the methods of theirs",
        "manager/semantics",
        &[
            "a_dict_has_what_dicts_have",
            "a_list_has_what_lists_have",
            "namespaces_and_arrays_have_what_theirs_have",
            "collections_are_made_with_content_by_one_of_many",
        ],
    ),
    (
        "a change by a function is one step, whatever the value's bytes are",
        "manager/semantics",
        &[
            "edits_of_a_list_by_many_lose_nothing",
            "values_are_updated_whatever_their_bytes_are",
            "maps_are_found_whatever_order_they_were_written_in",
        ],
    ),
    (
        "copies are copies, proxies inside are not, and keep their object on the way",
        "manager/semantics",
        &["what_is_got_is_a_copy_and_what_is_nested_is_not", "a_proxy_in_a_queue_keeps_its_object"],
    ),
    (
        "an RLock is held by all guards of its thread, also when a condition has given it away meanwhile",
        "manager/semantics",
        &[
            "an_rlock_is_held_by_all_guards_of_its_thread_also_behind_a_wait",
            "an_rlock_is_free_while_its_thread_waits_however_often_it_was_taken",
        ],
    ),
    (
        "conditions wake exactly so many, in order, and end with a timeout",
        "manager/semantics",
        &[
            "exactly_so_many_are_notified_in_their_order",
            "a_wait_for_something_ends_when_it_is_so_or_with_its_timeout",
            "an_event_that_is_cleared_at_once_has_been_set",
        ],
    ),
    ("readers and writers", "manager/semantics", &["an_rwlock_excludes_writers_and_survives_them"]),
    ("many permits at once", "manager/semantics", &["semaphores_give_many_at_once_or_none"]),
    (
        "a barrier's action, abort and reset",
        "manager/semantics",
        &[
            "a_barriers_action_is_run_by_one_before_anybody_leaves",
            "a_barrier_is_broken_by_its_action_by_abort_and_by_reset",
        ],
    ),
    (
        "dead readers, writers and leaders block nobody",
        "manager/death",
        &["readers_and_writers_and_leaders_that_are_killed_block_nobody"],
    ),
    (
        "queues say how full they are, and lose nothing that cannot be written or read",
        "manager/semantics",
        &[
            "a_queue_has_a_size_and_says_so",
            "an_item_of_another_type_goes_back_to_its_place",
            "what_cannot_be_sent_is_an_error_here_and_now",
        ],
    ),
    (
        "of a batch each call fails by itself; a transaction is of one manager",
        "manager/semantics",
        &["of_a_batch_each_call_fails_by_itself", "a_transaction_touches_no_other_managers_objects"],
    ),
];

const CONTRACT: &[(&str, &[Claim])] = &[
    ("Lock", LOCK),
    ("RLock", RLOCK),
    ("RwLock", RW_LOCK),
    ("Semaphore", SEMAPHORE),
    ("Event", EVENT),
    ("Condition", CONDITION),
    ("Barrier", BARRIER),
    ("Value", VALUE),
    ("Array", ARRAY),
    ("Latch, Once", LATCH_AND_ONCE),
    ("Queue and its kin", QUEUE),
    ("Queue, batches in place", QUEUE_BATCHES),
    ("Process", PROCESS),
    ("Pool, Executor", POOL),
    ("Manager", MANAGER),
    ("Manager, line by line", MANAGER_SEMANTICS),
];

/// Whether the file has this test, and the test command runs it.
fn runs(text: &str, test: &str) -> bool {
    let head = format!("fn {test}(");
    let Some((before, _)) = text.split_once(&head) else { return false };
    let attributes: Vec<&str> = before
        .lines()
        .rev()
        .map(str::trim)
        .take_while(|line| line.starts_with("#[") || line.is_empty())
        .collect();
    if attributes.contains(&"#[test]") {
        return !attributes.iter().any(|line| line.starts_with("#[ignore"));
    }
    // Of a scenario the macro at the top of its file makes a test.
    text.split("_tests! {").skip(1).any(|list| {
        let list = list.split_once("\n}").map_or("", |(list, _)| list);
        list.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == test)
    })
}

#[test]
fn every_claim_has_its_proof() {
    let mut missing = Vec::new();
    for (object, claims) in CONTRACT {
        for (claim, file, tests) in *claims {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(file).with_extension("rs");
            let text =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(!tests.is_empty(), "{object}: {claim}");
            let gone = tests.iter().filter(|test| !runs(&text, test));
            missing.extend(gone.map(|test| format!("{object}: {claim}: {file}::{test}")));
        }
    }
    assert!(missing.is_empty(), "claims without their proof:\n{}", missing.join("\n"));
}
