//! A rule, and which rules speak where several have something to say.

use super::case::Case;
use super::finding::Finding;

/// A rule: what it concludes from a case. Several findings where it holds several times, none where it does not hold.
pub struct Rule {
    /// Its name: the word in `rule` of the JSON.
    pub name: &'static str,
    /// Rules that say more of the same: where one of them speaks, this one is silent. A rule that is silent makes none silent itself. That
    /// no two yield to each other the compiler sees to: constants cannot be made of each other.
    pub yields_to: &'static [&'static Rule],
    /// What its findings are of.
    pub tells: Tells,
    /// Concludes.
    pub apply: fn(&Case<'_>) -> Vec<Finding>,
}

/// What a rule's findings are of; among those of one severity they come in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tells {
    /// What is wrong.
    Process,
    /// What was not looked at.
    Unread,
    /// Who asked for the dump. The kernel records that, and no name has a part in it.
    Sender,
}

impl Rule {
    /// A rule of what is wrong, which yields to none.
    pub(super) const fn new(name: &'static str, apply: fn(&Case<'_>) -> Vec<Finding>) -> Rule {
        Rule { name, yields_to: &[], tells: Tells::Process, apply }
    }

    /// The same, silent where one of `others` speaks.
    pub(super) const fn yields_to(self, others: &'static [&'static Rule]) -> Rule {
        Rule { yields_to: others, ..self }
    }

    /// The same, of something else than what is wrong.
    pub(super) const fn tells(self, tells: Tells) -> Rule {
        Rule { tells, ..self }
    }
}

/// What is left of what all rules said, in the same order.
pub(super) fn settle(said: Vec<(&Rule, Vec<Finding>)>) -> Vec<(&Rule, Finding)> {
    let heard: Vec<&str> =
        said.iter().filter(|(_, findings)| !findings.is_empty()).map(|(rule, _)| rule.name).collect();
    said.into_iter()
        .filter(|(rule, _)| speaks(rule, &heard))
        .flat_map(|(rule, findings)| findings.into_iter().map(move |finding| (rule, finding)))
        .collect()
}

/// Whether a rule has something to say, and none of those to which it yields speaks.
fn speaks(rule: &Rule, heard: &[&str]) -> bool {
    heard.contains(&rule.name) && !rule.yields_to.iter().any(|better| speaks(better, heard))
}

#[cfg(test)]
mod tests {
    use super::super::finding::{Sentence, Severity};
    use super::*;

    fn silent(_: &Case<'_>) -> Vec<Finding> {
        Vec::new()
    }

    const CAUSE: Rule = Rule::new("cause", silent);
    const STUCK: Rule = Rule::new("stuck", silent).yields_to(&[&CAUSE]);
    const CALM: Rule = Rule::new("calm", silent).yields_to(&[&STUCK]);

    /// The rules that speak where these have something to say.
    fn speaking(names: &[&str]) -> Vec<&'static str> {
        let finding = |rule| Finding {
            rule,
            severity: Severity::Note,
            certain: true,
            title: Sentence::default(),
            about: None,
            evidence: Vec::new(),
            next: None,
        };
        let said = [&CALM, &STUCK, &CAUSE].map(|rule| {
            let findings = if names.contains(&rule.name) { vec![finding(rule.name)] } else { Vec::new() };
            (rule, findings)
        });
        settle(said.into()).iter().map(|(rule, _)| rule.name).collect()
    }

    #[test]
    fn a_rule_is_silent_where_one_that_it_yields_to_speaks() {
        assert_eq!(speaking(&["stuck"]), ["stuck"]);
        assert_eq!(speaking(&["stuck", "cause"]), ["cause"]);
        assert_eq!(speaking(&["calm", "stuck"]), ["stuck"]);
    }

    #[test]
    fn one_that_is_silent_itself_makes_no_other_silent() {
        assert_eq!(speaking(&["calm", "stuck", "cause"]), ["calm", "cause"]);
    }

    #[test]
    fn whom_a_rule_yields_to_is_a_rule() {
        let rules = super::super::RULES;
        let is_listed = |name: &str| rules.iter().any(|rule| rule.name == name);
        for rule in rules {
            assert!(rule.yields_to.iter().all(|better| is_listed(better.name)), "{}", rule.name);
            assert_eq!(rules.iter().filter(|other| other.name == rule.name).count(), 1, "{}", rule.name);
        }
    }
}
