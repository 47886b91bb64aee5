//! The texts of service events and stop reasons, as people search for them. Sources: the guide's list of service event
//! messages, the API's examples, public error reports.

use std::collections::BTreeMap;

/// `started 2 tasks: (task ID) (task ID).`
pub fn started(service: &str, tasks: &[String]) -> String {
    format!("(service {service}) has started {} tasks: {}.", tasks.len(), listed(tasks))
}

/// The same of a task set.
pub fn task_set_started(service: &str, task_set: &str, tasks: &[String]) -> String {
    format!("(service {service}, taskSet {task_set}) has started {} tasks: {}.", tasks.len(), listed(tasks))
}

pub fn stopped(service: &str, tasks: &[String]) -> String {
    format!("(service {service}) has stopped {} running tasks: {}.", tasks.len(), listed(tasks))
}

pub fn task_set_stopped(service: &str, task_set: &str, tasks: &[String]) -> String {
    format!(
        "(service {service}, taskSet {task_set}) has stopped {} running tasks: {}.",
        tasks.len(),
        listed(tasks)
    )
}

pub fn registered_targets(service: &str, count: usize, target_group_arn: &str) -> String {
    format!("(service {service}) registered {count} targets in (target-group {target_group_arn})")
}

pub fn deregistered_targets(service: &str, count: usize, target_group_arn: &str) -> String {
    format!("(service {service}) deregistered {count} targets in (target-group {target_group_arn})")
}

/// `load_balancer`: the name of a classic one.
pub fn registered_instances(service: &str, count: usize, load_balancer: &str) -> String {
    format!("(service {service}) registered {count} instances in (elb {load_balancer})")
}

pub fn deregistered_instances(service: &str, count: usize, load_balancer: &str) -> String {
    format!("(service {service}) deregistered {count} instances in (elb {load_balancer})")
}

pub fn draining(service: &str, count: usize) -> String {
    format!("(service {service}) has begun draining connections on {count} tasks.")
}

pub fn steady_state(service: &str) -> String {
    format!("(service {service}) has reached a steady state.")
}

pub fn task_set_steady_state(service: &str, task_set: &str) -> String {
    format!("(service {service}, taskSet {task_set}) has reached a steady state.")
}

pub fn deployment_completed(service: &str, deployment: &str) -> String {
    format!("(service {service}) (deployment {deployment}) deployment completed.")
}

pub fn deployment_failed(service: &str, deployment: &str, why: &str) -> String {
    format!("(service {service}) (deployment {deployment}) deployment failed: {why}.")
}

pub fn rolling_back(service: &str, deployment: &str) -> String {
    format!("(service {service}) rolling back to deployment {deployment}.")
}

/// `closest` goes on with what the nearest instance lacks, a whole sentence or empty.
pub fn unable_to_place(service: &str, why: &str, closest: &str) -> String {
    let closest = if closest.is_empty() { String::new() } else { format!(" {closest}") };
    format!(
        "(service {service}) was unable to place a task because {why}.{closest} For more information, see the \
         Troubleshooting section of the Amazon ECS Developer Guide."
    )
}

pub fn unable_to_start_consistently(service: &str) -> String {
    format!(
        "(service {service}) is unable to consistently start tasks successfully. For more information, see the \
         Troubleshooting section of the Amazon ECS Developer Guide."
    )
}

pub fn stuck_by_configuration(service: &str) -> String {
    format!(
        "(service {service}) was unable to stop or start tasks during a deployment because of the service deployment \
         configuration. Update the minimumHealthyPercent or maximumPercent value and try again."
    )
}

pub fn failed_container_checks(service: &str, task: &str) -> String {
    format!("(service {service}) (task {task}) failed container health checks.")
}

/// `port` and `reason` as the load balancer gives them.
pub fn unhealthy_target(
    service: &str,
    task: &str,
    port: u16,
    target_group_arn: &str,
    reason: &str,
) -> String {
    format!(
        "(service {service}) (task {task}) (port {port}) is unhealthy in (target-group {target_group_arn}) due to \
         (reason {reason})"
    )
}

/// As [`unhealthy_target`], of an instance of a classic load balancer.
pub fn unhealthy_instance(
    service: &str,
    instance: &str,
    port: u16,
    load_balancer: &str,
    reason: &str,
) -> String {
    format!(
        "(service {service}) (instance {instance}) (port {port}) is unhealthy in (elb {load_balancer}) due to (reason \
         {reason})"
    )
}

pub fn out_of_balance(service: &str, zones: &BTreeMap<String, u32>) -> String {
    format!("(service {service}) is not AZ balanced with {}. AZ Rebalancing in progress.", by_zone(zones))
}

pub fn balanced(service: &str, zones: &BTreeMap<String, u32>) -> String {
    format!("(service {service}) is AZ balanced with {}.", by_zone(zones))
}

/// `stoppedReason` of a task that a deployment or a change of the count ends.
pub fn scaling_reason(deployment: &str) -> String {
    format!("Scaling activity initiated by (deployment {deployment})")
}

/// `stoppedReason` of a task whose own checks fail.
pub const FAILED_CONTAINER_CHECKS: &str = "Task failed container health checks";

/// `stoppedReason` of a task whose target is unhealthy.
pub fn failed_target_checks(target_group_arn: &str) -> String {
    format!("Task failed ELB health checks in (target-group {target_group_arn})")
}

/// The same of an instance of a classic load balancer.
pub fn failed_classic_checks(load_balancer: &str) -> String {
    format!("Task failed ELB health checks in (elb {load_balancer})")
}

fn listed(tasks: &[String]) -> String {
    tasks.iter().map(|task| format!("(task {task})")).collect::<Vec<_>>().join(" ")
}

fn by_zone(zones: &BTreeMap<String, u32>) -> String {
    zones.iter().map(|(zone, count)| format!("{count} tasks in {zone}")).collect::<Vec<_>>().join(", ")
}
