//! The control plane's side.

use super::*;

fn changed(merged: Merged) -> TaskRecord {
    match merged {
        Merged::Changed(record) => *record,
        Merged::Stale => panic!("stale"),
    }
}

fn record() -> TaskRecord {
    TaskRecord::new(TaskStatus::Provisioning, ["app".to_owned()])
}

/// The changes of a task that runs and then ends by itself.
fn changes() -> Vec<TaskStateChange> {
    let mut node = Node::new(vec![container("app")]);
    let mut changes = vec![node.last().clone()];
    let mut keep = |node: &Node| {
        if changes.last() != node.facts.reported.as_ref() {
            changes.push(node.last().clone());
        }
    };
    for _ in 0..2 {
        while let Some(action) = node.begun.pop() {
            if let Some(event) = success(&action) {
                node.happens(event);
                keep(&node);
            }
        }
        if node.facts.stop.is_none() {
            node.exits(0, 5);
            keep(&node);
        }
    }
    changes
}

#[test]
fn changes_move_a_record_forward_to_the_end() {
    let mut current = record();
    for change in changes() {
        let next = changed(merge(&current, &change, T0));
        assert!(next.last_status >= current.last_status);
        current = next;
    }
    assert_eq!(current.last_status, TaskStatus::Stopped);
    assert_eq!(current.stop_code.as_deref(), Some("EssentialContainerExited"));
    assert_eq!(current.stopped_reason.as_deref(), Some("Essential container in task exited"));
    assert_eq!(current.containers[0].exit_code, Some(5));
    assert_eq!(current.containers[0].last_status, ContainerStatus::Stopped);
    assert!(
        current.started_at.is_some()
            && current.stopped_at.is_some()
            && current.execution_stopped_at.is_some()
    );
}

#[test]
fn a_stale_or_repeated_change_has_no_effect() {
    let changes = changes();
    let last = changes.last().unwrap();
    let newest = changed(merge(&record(), last, T0));
    for change in &changes {
        assert_eq!(merge(&newest, change, T0), Merged::Stale);
    }
    let running = changes.iter().find(|change| change.status == TaskStatus::Running).unwrap();
    let once = changed(merge(&record(), running, T0));
    assert_eq!(merge(&once, running, T0), Merged::Stale);
}

#[test]
fn the_last_change_alone_says_as_much_as_all_of_them() {
    let changes = changes();
    let all = changes.iter().fold(record(), |record, change| changed(merge(&record, change, T0)));
    assert_eq!(all, changed(merge(&record(), changes.last().unwrap(), T0)));
}

#[test]
fn the_last_word_ends_the_containers_too() {
    let running = changes().into_iter().find(|change| change.status == TaskStatus::Running).unwrap();
    let record = changed(merge(&record(), &running, T0));
    let last_word = TaskStateChange {
        sequence: TaskStateChange::LAST_WORD,
        status: TaskStatus::Stopped,
        containers: vec![],
        ..running
    };
    let merged = changed(merge(&record, &last_word, T0));
    assert_eq!(merged.containers[0].last_status, ContainerStatus::Stopped);
}

#[test]
fn the_first_to_say_why_is_right() {
    let changes = changes();
    let mut asked = record();
    asked.stop("UserInitiated", "Task stopped by user", T0);
    asked.stop("ServiceSchedulerInitiated", "Scaling activity", T0 + Duration::from_secs(1));
    let merged = changed(merge(&asked, changes.last().unwrap(), T0));
    assert_eq!(merged.stop_code.as_deref(), Some("UserInitiated"));
    assert_eq!(merged.stopped_reason.as_deref(), Some("Task stopped by user"));
    assert_eq!(merged.stopping_at, Some(T0));
}

#[test]
fn a_status_that_the_control_plane_set_is_not_taken_back() {
    let running = changes().into_iter().find(|change| change.status == TaskStatus::Running).unwrap();
    let mut draining = record();
    draining.last_status = TaskStatus::Deactivating;
    assert_eq!(changed(merge(&draining, &running, T0)).last_status, TaskStatus::Deactivating);
}

#[test]
fn only_a_restart_brings_a_container_back() {
    let mut change = changes().into_iter().find(|change| change.status == TaskStatus::Running).unwrap();
    let mut ended = record();
    ended.containers[0].last_status = ContainerStatus::Stopped;
    ended.containers[0].exit_code = Some(1);
    let merged = changed(merge(&ended, &change, T0));
    assert_eq!(merged.containers[0].last_status, ContainerStatus::Stopped);
    assert_eq!(merged.containers[0].exit_code, Some(1));
    change.containers[0].restart_count = 1;
    let merged = changed(merge(&ended, &change, T0));
    assert_eq!(merged.containers[0].last_status, ContainerStatus::Running);
    assert_eq!(merged.containers[0].exit_code, None);
}

/// What the node says of a task whose containers run.
fn running(sequence: u64) -> TaskStateChange {
    let mut node = Node::new(vec![container("app")]);
    while let Some(action) = node.begun.pop() {
        if let Some(event) = success(&action) {
            node.happens(event);
        }
    }
    let change = node.last().clone();
    assert_eq!(change.status, TaskStatus::Running);
    TaskStateChange { sequence, ..change }
}

#[test]
fn behind_a_load_balancer_running_waits_for_the_targets() {
    let mut task = changed(merge(&record().behind_load_balancer(), &running(5), T0));
    assert_eq!((task.last_status, task.awaits_traffic()), (TaskStatus::Activating, true));
    // The node says it again, with other health.
    task = changed(merge(&task, &running(6), T0));
    assert_eq!(task.last_status, TaskStatus::Activating);
    task.open_traffic();
    assert_eq!((task.last_status, task.traffic), (TaskStatus::Running, Traffic::Open));
    assert!(task.begin_draining() && task.is_draining());
    task = changed(merge(&task, &running(7), T0));
    assert_eq!((task.last_status, task.is_draining()), (TaskStatus::Deactivating, true));
    assert!(task.close_traffic());
    assert!(!task.close_traffic() && !task.is_draining());
    assert_eq!(task.last_status, TaskStatus::Deactivating);
}

#[test]
fn a_task_that_never_got_traffic_stops_at_once() {
    let mut task = record().behind_load_balancer();
    assert!(!task.begin_draining() && !task.is_draining());
    assert_eq!(task.traffic, Traffic::Closed);
    let mut standalone = changed(merge(&record(), &running(5), T0));
    assert_eq!(standalone.last_status, TaskStatus::Running);
    assert!(!standalone.begin_draining() && !standalone.close_traffic());
}

#[test]
fn a_task_that_ends_by_itself_while_draining_waits_for_nothing() {
    let mut task = changed(merge(&record().behind_load_balancer(), &running(5), T0));
    task.open_traffic();
    assert!(task.begin_draining());
    let ended = changes().pop().unwrap();
    let task = changed(merge(&task, &TaskStateChange { sequence: 99, ..ended }, T0));
    assert_eq!((task.last_status, task.is_draining()), (TaskStatus::Stopped, false));
}
