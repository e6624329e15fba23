//! A plan of an upgrade as text: read from TOML and JSON, written back, and what is wrong with it said.

use std::collections::BTreeMap;
use std::time::Duration;

use incarnate::upgrade::{ChangeFlags, ChangeStrategy, Direction, Place, Step, Update, Upgrade, Value};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

const TOML: &str = r#"
name = "shop 2"
suspend_timeout = 2000

[[up]]
step = "load"
module = "key@2"

[[up]]
step = "update"
module = "key"
from = 1
to = 2
extra = { limit = 100, names = ["a", "b"], rate = 0.5, strict = true, deep = { er = [[1], []] } }
depends_on = ["store"]

[[up]]
step = "add_child"
supervisor = "top/rooms"
child = "new"

[[up]]
step = "replace_child"
supervisor = "top"
child = "a"

[[up]]
step = "change_child"
supervisor = "top"
child = "b"

[[up]]
step = "change_flags"
supervisor = "top"
intensity = 3
period = 10
strategy = "rest_for_one"

[[up]]
step = "change_supervisor"
supervisor = "top"

[[down]]
step = "delete_child"
supervisor = "top/rooms"
child = "new"

[[down]]
step = "update"
module = "key"
from = 2
to = 1
extra = "drop the hits"
"#;

const JSON: &str = r#"{
  "name": "shop 2",
  "suspend_timeout": 2000,
  "up": [
    { "step": "load", "module": "key@2" },
    { "step": "update", "module": "key", "from": 1, "to": 2, "depends_on": ["store"],
      "extra": { "limit": 100, "names": ["a", "b"], "rate": 0.5, "strict": true, "deep": { "er": [[1], []] } } },
    { "step": "add_child", "supervisor": "top/rooms", "child": "new" },
    { "step": "replace_child", "supervisor": "top", "child": "a" },
    { "step": "change_child", "supervisor": "top", "child": "b" },
    { "step": "change_flags", "supervisor": "top", "intensity": 3, "period": 10, "strategy": "rest_for_one" },
    { "step": "change_supervisor", "supervisor": "top" }
  ],
  "down": [
    { "step": "delete_child", "supervisor": "top/rooms", "child": "new" },
    { "step": "update", "module": "key", "from": 2, "to": 1, "extra": "drop the hits" }
  ]
}"#;

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn map<const N: usize>(values: [(&str, Value); N]) -> Value {
    Value::Map(values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// What both texts say, with every kind of step.
fn plan() -> Upgrade {
    let deep = map([("er", Value::List(vec![Value::List(vec![Value::Integer(1)]), Value::List(vec![])]))]);
    let extra = map([
        ("limit", Value::Integer(100)),
        ("names", Value::List(vec![text("a"), text("b")])),
        ("rate", Value::Float(0.5)),
        ("strict", Value::Bool(true)),
        ("deep", deep),
    ]);
    let flags = ChangeFlags {
        intensity: Some(3),
        period: Some(10),
        strategy: Some(ChangeStrategy::RestForOne),
        ..ChangeFlags::of("top")
    };
    Upgrade::new("shop 2")
        .suspend_timeout(Duration::from_secs(2))
        .up(Step::Load { module: "key@2".parse().unwrap() })
        .up(Update::new("key", 1, 2).extra(extra).depends_on("store"))
        .up(Step::AddChild(Place::new("top/rooms", "new")))
        .up(Step::ReplaceChild(Place::new("top", "a")))
        .up(Step::ChangeChild(Place::new("top", "b")))
        .up(Step::ChangeFlags(flags))
        .up(Step::ChangeSupervisor { supervisor: "top".into() })
        .down(Step::DeleteChild(Place::new("top/rooms", "new")))
        .down(Update::new("key", 2, 1).extra(text("drop the hits")))
}

fn from_toml(text: &str) -> Result<Upgrade, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

fn from_json(text: &str) -> Result<Upgrade, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn comes_back(plan: &Upgrade) {
    let written = toml::to_string(plan).unwrap();
    assert_eq!(from_toml(&written).as_ref(), Ok(plan), "{written}");
    let written = serde_json::to_string(plan).unwrap();
    assert_eq!(from_json(&written).as_ref(), Ok(plan), "{written}");
}

#[test]
fn every_kind_of_step_is_read_from_toml_and_json() {
    assert_eq!(from_toml(TOML), Ok(plan()));
    assert_eq!(from_json(JSON), Ok(plan()));
    assert_eq!((plan().steps(Direction::Up).len(), plan().steps(Direction::Down).len()), (7, 2));
    comes_back(&plan());
}

#[test]
fn what_is_not_written_is_the_default() {
    let short = "name = \"keys\"\nup = [{ step = \"update\", module = \"key\", from = 1, to = 2 }]";
    let plan = from_toml(short).unwrap();
    assert_eq!(plan, Upgrade::new("keys").up(Step::update("key", 1, 2)));
    assert_eq!(
        (plan.suspend_timeout, plan.convert_timeout),
        (Duration::from_secs(5), Duration::from_secs(5))
    );
    comes_back(&Upgrade::new(""));
    comes_back(
        &Upgrade::new("long").convert_timeout(Duration::ZERO).suspend_timeout(Duration::from_secs(1 << 40)),
    );
    // Longer than a number of TOML says: as good as no limit.
    toml::to_string(&Upgrade::new("for ever").convert_timeout(Duration::MAX)).unwrap();
}

/// Each one line, beside what the error says of it.
#[test]
fn what_is_wrong_with_a_plan_is_said() {
    let step = |step: &str| format!("name = \"x\"\nup = [{{ {step} }}]");
    let update = "step = \"update\", module = \"key\", from = 1, to = 2";
    for (text, says) in [
        ("up = []".to_owned(), "missing field `name`"),
        ("name = \"x\"\nupp = []".to_owned(), "unknown field `upp`, expected one of `name`, `up`, `down`"),
        (step("step = \"updat\""), "unknown variant `updat`, expected one of `load`, `update`, `add_child`"),
        (step("module = \"key\""), "missing field `step`"),
        (step("step = \"update\", module = \"key\", from = 1"), "missing field `to`"),
        (step(&format!("{update}, extr = 1")), "unknown field `extr`"),
        (step(&format!("{update}, extra = 2024-05-01")), "a date is no value of a plan; write it as text"),
        (step("step = \"update\", module = \"key\", from = -1, to = 2"), "invalid value: integer `-1`"),
        (step("step = \"load\", module = \"key\""), "understood is NAME@VERSION"),
        (step("step = \"load\", module = \"key@1\", from = 1"), "unknown field `from`"),
        (step("step = \"add_child\", supervisor = \"top\""), "missing field `child`"),
        (step("step = \"add_child\", supervisor = \"top\", child = \"a\", id = 1"), "unknown field `id`"),
        (step("step = \"change_supervisor\", supervisor = \"top\", tree = 1"), "unknown field `tree`"),
        (step("step = \"change_flags\", supervisor = \"top\", period = 1.5"), "floating point `1.5`"),
        (
            step("step = \"change_flags\", supervisor = \"top\", strategy = \"simple_one_for_one\""),
            "unknown variant `simple_one_for_one`, expected one of `one_for_one`, `one_for_all`",
        ),
        ("name = \"x\"\nsuspend_timeout = -5".to_owned(), "invalid value: integer `-5`"),
    ] {
        let error = from_toml(&text).unwrap_err();
        assert!(error.contains(says), "{text}\n{error}");
        let json = serde_json::to_string(&toml::from_str::<toml::Table>(&text).unwrap()).unwrap();
        if !text.contains("2024") {
            let error = from_json(&json).unwrap_err();
            assert!(error.contains(says), "{json}\n{error}");
        }
    }
}

#[test]
fn a_number_that_does_not_fit_is_refused_and_does_not_become_another() {
    let plan = |extra: &str| {
        let step =
            format!(r#"{{ "step": "update", "module": "key", "from": 1, "to": 2, "extra": {extra} }}"#);
        from_json(&format!(r#"{{ "name": "x", "up": [{step}] }}"#))
    };
    let extra = |extra| Ok(Upgrade::new("x").up(Update::new("key", 1, 2).extra(extra)));
    assert_eq!(plan("9223372036854775807"), extra(Value::Integer(i64::MAX)));
    let error = plan("9223372036854775808").unwrap_err();
    assert!(error.contains("9223372036854775808 does not fit into 64 bits with a sign"), "{error}");
    assert_eq!(plan("null"), extra(Value::Nil));
    assert_eq!(plan("[null]"), extra(Value::List(vec![Value::Nil])));
    let error = plan(r#"{ "a": 1, "a": 2 }"#).unwrap_err();
    assert!(error.contains("\"a\" is there twice"), "{error}");
}

/// The plans that the book shows are the ones that it says they are.
#[test]
fn the_plans_in_the_book_are_read() {
    let book = include_str!("../../../docs/book/upgrades.md");
    let block = |language: &str| {
        let (_, rest) = book.split_once(&format!("```{language}\n")).expect("the book shows one");
        rest.split_once("```").expect("it ends").0
    };
    let plan = from_toml(block("toml")).unwrap();
    assert_eq!(from_json(block("json")).as_ref(), Ok(&plan));
    let extra = Value::Map(BTreeMap::from([("greeting".to_owned(), text("Hello"))]));
    let expected = Upgrade::new("greetings")
        .up(Update::new("guest", 1, 2).extra(extra).depends_on("ledger"))
        .up(Step::AddChild(Place::new("top/rooms", "bell")))
        .up(Step::ChangeFlags(ChangeFlags { intensity: Some(3), ..ChangeFlags::of("top") }))
        .down(Step::DeleteChild(Place::new("top/rooms", "bell")))
        .down(Step::update("guest", 2, 1))
        .suspend_timeout(Duration::from_millis(2000));
    assert_eq!(plan, expected);
}

/// Values as both formats have them: TOML has no nil, and neither has a number that is none.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Integer),
        (-1e9..1e9f64).prop_map(Value::Float),
        any::<String>().prop_map(Value::Text),
    ];
    leaf.prop_recursive(4, 32, 4, |value| {
        prop_oneof![
            vec(value.clone(), 0..4).prop_map(Value::List),
            btree_map(any::<String>(), value, 0..4).prop_map(Value::Map),
        ]
    })
}

fn step() -> impl Strategy<Value = Step> {
    let place = || (any::<String>(), any::<String>()).prop_map(|(at, child)| Place::new(at, child));
    let strategy = prop_oneof![
        Just(ChangeStrategy::OneForOne),
        Just(ChangeStrategy::OneForAll),
        Just(ChangeStrategy::RestForOne)
    ];
    let flags =
        (any::<String>(), any::<Option<u32>>(), option::of(0..=i64::MAX as u64), option::of(strategy));
    let update =
        (any::<String>(), any::<u32>(), any::<u32>(), option::of(value()), vec(any::<String>(), 0..3));
    prop_oneof![
        ("[a-z@]{1,8}", 1..u32::MAX).prop_map(|(name, vsn)| Step::Load {
            module: incarnate::handoff::ModuleVsn::named(name, vsn).unwrap()
        }),
        update.prop_map(|(module, from, to, extra, depends_on)| {
            Update { module, from, to, extra: extra.unwrap_or_default(), depends_on }.into()
        }),
        place().prop_map(Step::AddChild),
        place().prop_map(Step::ReplaceChild),
        place().prop_map(Step::DeleteChild),
        place().prop_map(Step::ChangeChild),
        flags.prop_map(|(supervisor, intensity, period, strategy)| {
            Step::ChangeFlags(ChangeFlags { supervisor, intensity, period, strategy })
        }),
        any::<String>().prop_map(|supervisor| Step::ChangeSupervisor { supervisor }),
    ]
}

proptest! {
    #[test]
    fn any_plan_comes_back_from_text(
        name in any::<String>(),
        up in vec(step(), 0..4),
        down in vec(step(), 0..4),
        suspend in 0..=i64::MAX as u64,
        convert in 0..10_000u64,
    ) {
        let plan = up.into_iter().fold(Upgrade::new(name), Upgrade::up);
        let plan = down.into_iter().fold(plan, Upgrade::down);
        let plan = plan.suspend_timeout(Duration::from_millis(suspend));
        comes_back(&plan.convert_timeout(Duration::from_millis(convert)));
    }
}
