use super::*;

static POINT: StructureTable = StructureTable::new(
    "Point",
    &[MemberTable::new("label", Kind::Boolean), MemberTable::new("x", Kind::Boolean)],
);

string_enum!(Colour { DeepBlue = "deep-blue", });

#[derive(Debug, Clone, Default, PartialEq)]
struct Point {
    label: Option<Vec<Colour>>,
    x: Option<i32>,
}

impl Shape for Point {
    const TABLE: &'static StructureTable = &POINT;

    fn from_value(value: Value) -> Result<Self, ShapeError> {
        let mut m = structure(value, Self::TABLE)?;
        Ok(Point { label: take(&mut m, Self::TABLE, 0)?, x: take(&mut m, Self::TABLE, 1)? })
    }

    fn into_value(self) -> Value {
        Value::Structure(vec![put(self.label), put(self.x)])
    }
}

#[test]
fn round_trip() {
    let point = Point { label: Some(vec![Colour::DeepBlue]), x: Some(-3) };
    assert_eq!(Point::from_value(point.clone().into_value()), Ok(point));
}

#[test]
fn missing_is_not_empty() {
    let empty = Point { label: Some(vec![]), x: None };
    assert_eq!(Point::from_value(empty.clone().into_value()), Ok(empty));
    assert_eq!(Point::from_value(Value::Structure(vec![])), Ok(Point::default()));
}

#[test]
fn errors_name_the_member() {
    let wrong = Value::Structure(vec![Some(Value::List(vec![Value::String("green".into())])), None]);
    let error = Point::from_value(wrong).unwrap_err();
    assert_eq!((error.path.as_str(), error.expected, error.found.as_str()), ("label", "Colour", "green"));

    let wide = Value::Structure(vec![None, Some(Value::Integer(1 << 40))]);
    assert_eq!(Point::from_value(wide).unwrap_err().path, "x");
    assert_eq!(Point::from_value(Value::Bool(true)).unwrap_err().expected, "structure");
}

#[test]
fn timestamps_keep_milliseconds() {
    for millis in [0, 1, -1, 1_700_000_000_123, 4_102_444_800_999] {
        assert_eq!(Timestamp::from_millis(millis).as_millis(), millis);
    }
}

#[test]
fn enums_are_their_wire_strings() {
    for colour in Colour::ALL {
        assert_eq!(Colour::parse(colour.as_str()), Some(*colour));
    }
    assert_eq!(Colour::parse("DeepBlue"), None);
}
