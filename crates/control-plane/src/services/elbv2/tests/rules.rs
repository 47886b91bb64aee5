use aws_shapes_elbv2::{
    CreateRuleInput, DeleteRuleInput, DescribeRulesInput, ModifyRuleInput, PathPatternConditionConfig, Rule,
    RuleCondition, RulePriorityPair, SetRulePrioritiesInput,
};

use super::{Lab, forward};
use crate::{
    gateway::ApiError,
    services::{
        elbv2::{rules, tags},
        testing::{refused, text},
    },
};

fn path(values: &[&str]) -> RuleCondition {
    RuleCondition {
        field: text("path-pattern"),
        values: Some(values.iter().map(|value| (*value).to_owned()).collect()),
        ..RuleCondition::default()
    }
}

struct Rules {
    lab: Lab,
    listener: String,
    group: String,
}

impl Rules {
    async fn new() -> Rules {
        let lab = Lab::new().await;
        let balancer = lab.balancer("web").await;
        let group = lab.group("group").await;
        let listener = lab.listener(&balancer, 80, &group).await;
        Rules { lab, listener, group }
    }

    async fn create(&self, priority: i32, conditions: Vec<RuleCondition>) -> Result<Rule, ApiError> {
        let input = CreateRuleInput {
            listener_arn: text(&self.listener),
            priority: Some(priority),
            conditions: Some(conditions),
            actions: Some(vec![forward(&self.group)]),
            ..CreateRuleInput::default()
        };
        Ok(rules::create(self.lab.fixture.call(), input).await?.rules.unwrap().remove(0))
    }

    async fn all(&self) -> Vec<Rule> {
        let input = DescribeRulesInput { listener_arn: text(&self.listener), ..Default::default() };
        rules::describe(self.lab.fixture.call(), input).await.unwrap().rules.unwrap()
    }

    async fn priorities(&self) -> Vec<String> {
        self.all().await.into_iter().map(|rule| rule.priority.unwrap()).collect()
    }
}

#[tokio::test]
async fn rules_are_in_the_order_of_their_priorities_the_default_last() {
    let rules = Rules::new().await;
    rules.create(20, vec![path(&["/b*"])]).await.unwrap();
    let made = rules.create(10, vec![path(&["/a*", "/A*"])]).await.unwrap();
    let shown = &made.conditions.as_ref().unwrap()[0];
    let values = Some(vec!["/a*".to_owned(), "/A*".to_owned()]);
    assert_eq!(shown.values, values);
    assert_eq!(shown.path_pattern_config, Some(PathPatternConditionConfig { values, regex_values: None }));
    assert_eq!(rules.priorities().await, ["10", "20", "default"]);
    refused(rules.create(10, vec![path(&["/c"])]).await, "PriorityInUse", "'10'");
}

#[tokio::test]
async fn conditions_have_limits() {
    let rules = Rules::new().await;
    let check = async |conditions: Vec<RuleCondition>, fragment: &str| {
        refused(rules.create(1, conditions).await, "ValidationError", fragment);
    };
    check(vec![], "A condition must be specified").await;
    check(vec![path(&[])], "value must be specified").await;
    check(vec![path(&["1", "2", "3", "4", "5", "6"])], "'5' condition values").await;
    check(vec![path(&["/*?*?*?*"])], "wildcards").await;
    check(vec![path(&["/a"]), path(&["/b"])], "one 'path-pattern'").await;
    check(vec![path(&["/ä"])], "not valid").await;
    check(vec![path(&[&"a".repeat(129)])], "too long; the limit is '128'").await;
    let unknown = RuleCondition { field: text("colour"), ..RuleCondition::default() };
    check(vec![unknown], "Condition field 'colour' must be one of").await;
    let mut source = path(&["10.0.0.0"]);
    source.field = text("source-ip");
    check(vec![source], "CIDR").await;
    let mut regex = path(&[]);
    regex.regex_values = Some(vec!["(".to_owned()]);
    check(vec![regex], "regular expression").await;
}

#[tokio::test]
async fn a_hundred_rules_and_no_more() {
    let rules = Rules::new().await;
    for priority in 1..=100 {
        rules.create(priority, vec![path(&["/a"])]).await.unwrap();
    }
    refused(rules.create(101, vec![path(&["/a"])]).await, "TooManyRules", "'100'");
}

#[tokio::test]
async fn priorities_change_together_or_not_at_all() {
    let rules = Rules::new().await;
    let one = rules.create(1, vec![path(&["/1"])]).await.unwrap().rule_arn;
    let two = rules.create(2, vec![path(&["/2"])]).await.unwrap().rule_arn;
    rules.create(3, vec![path(&["/3"])]).await.unwrap();
    let set = async |pairs: Vec<(Option<String>, i32)>| {
        let pairs = pairs.into_iter().map(|(rule_arn, to)| RulePriorityPair { rule_arn, priority: Some(to) });
        let input = SetRulePrioritiesInput { rule_priorities: Some(pairs.collect()) };
        super::super::rules::set_priorities(rules.lab.fixture.call(), input).await
    };
    set(vec![(one.clone(), 2), (two.clone(), 1)]).await.unwrap();
    let first = rules.all().await.remove(0);
    assert_eq!(first.rule_arn, two);
    refused(set(vec![(one.clone(), 9), (two.clone(), 3)]).await, "PriorityInUse", "'3'");
    refused(set(vec![(one, 9), (two.clone(), 9)]).await, "PriorityInUse", "'9'");
    assert_eq!(rules.priorities().await, ["1", "2", "3", "default"]);
    let default = rules.all().await.pop().unwrap().rule_arn;
    refused(set(vec![(default, 9)]).await, "OperationNotPermitted", "default rule");
}

#[tokio::test]
async fn the_default_rule_stays() {
    let rules = Rules::new().await;
    let call = || rules.lab.fixture.call();
    let default = rules.all().await.remove(0).rule_arn;
    let delete = DeleteRuleInput { rule_arn: default.clone() };
    refused(super::super::rules::delete(call(), delete).await, "OperationNotPermitted", "cannot be deleted");
    let modify = ModifyRuleInput { rule_arn: default.clone(), ..ModifyRuleInput::default() };
    refused(super::super::rules::modify(call(), modify).await, "OperationNotPermitted", "cannot be modified");
    let made = rules.create(1, vec![path(&["/1"])]).await.unwrap().rule_arn;
    let delete = DeleteRuleInput { rule_arn: made.clone() };
    super::super::rules::delete(call(), delete.clone()).await.unwrap();
    refused(super::super::rules::delete(call(), delete).await, "RuleNotFound", "not found");
    // It can have tags like any other.
    let tag = aws_shapes_elbv2::Tag { key: text("a"), value: text("b") };
    let arns = Some(vec![default.unwrap(), rules.listener.clone(), rules.group.clone()]);
    let add = aws_shapes_elbv2::AddTagsInput { resource_arns: arns.clone(), tags: Some(vec![tag.clone()]) };
    tags::add(call(), add).await.unwrap();
    let describe = aws_shapes_elbv2::DescribeTagsInput { resource_arns: arns };
    for described in tags::describe(call(), describe).await.unwrap().tag_descriptions.unwrap() {
        assert_eq!(described.tags, Some(vec![tag.clone()]));
    }
    let gone = aws_shapes_elbv2::DescribeTagsInput { resource_arns: made.map(|arn| vec![arn]) };
    refused(tags::describe(call(), gone).await, "RuleNotFound", "not found");
}
