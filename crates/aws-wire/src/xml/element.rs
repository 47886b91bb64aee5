//! An XML document as a tree of elements, without namespaces.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::decode::{Budget, Malformed};
use crate::limits::MAX_ATTRIBUTES;

/// An element. Prefixes are cut off its name, but kept on attributes (`xsi:type`).
#[derive(Debug, Default)]
pub(crate) struct Element {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    /// Reads a whole document. Document types are refused: nothing legitimate sends one.
    pub fn parse(document: &[u8], budget: &mut Budget) -> Result<Element, Malformed> {
        let text = std::str::from_utf8(document).map_err(|_| Malformed::new("The XML is not valid UTF-8"))?;
        let mut reader = Reader::from_str(text);
        let mut open: Vec<Element> = Vec::new();
        let mut done: Option<Element> = None;
        loop {
            let event = reader.read_event().map_err(|error| not_well_formed(&error))?;
            match event {
                Event::Start(start) => {
                    budget.enter()?;
                    if done.is_some() {
                        return Err(Malformed::new("The XML has more than one root"));
                    }
                    open.push(Element::start(&start, budget)?);
                }
                Event::Empty(start) => {
                    let element = Element::start(&start, budget)?;
                    close(element, &mut open, &mut done)?;
                }
                Event::End(_) => {
                    budget.leave();
                    let element = open.pop().ok_or_else(|| Malformed::new("The XML is not well-formed"))?;
                    close(element, &mut open, &mut done)?;
                }
                Event::Text(piece) => {
                    let piece = piece.decode().map_err(|error| not_well_formed(&error))?;
                    match open.last_mut() {
                        Some(element) => element.text.push_str(&piece),
                        None if piece.trim().is_empty() => {}
                        None => return Err(Malformed::new("The XML has text outside its root")),
                    }
                }
                Event::CData(piece) => {
                    let piece = piece.decode().map_err(|error| not_well_formed(&error))?;
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&piece);
                    }
                }
                Event::GeneralRef(reference) => {
                    let resolved = match reference.resolve_char_ref() {
                        Ok(Some(letter)) => Some(letter),
                        Ok(None) => predefined(&reference),
                        Err(error) => return Err(not_well_formed(&error)),
                    };
                    let letter = resolved.ok_or_else(|| Malformed::new("The XML has an unknown entity"))?;
                    if let Some(element) = open.last_mut() {
                        element.text.push(letter);
                    }
                }
                Event::DocType(_) => return Err(Malformed::new("The XML must not have a document type")),
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
                Event::Eof => break,
            }
        }
        match done {
            Some(root) if open.is_empty() => Ok(root),
            _ => Err(Malformed::new("The XML is not well-formed")),
        }
    }

    fn start(start: &BytesStart<'_>, budget: &mut Budget) -> Result<Element, Malformed> {
        budget.spend(1)?;
        let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
        let mut attributes = Vec::new();
        for (before, attribute) in start.attributes().enumerate() {
            // The reader holds each against all before it.
            if before == MAX_ATTRIBUTES {
                return Err(Malformed::new("An XML element has more attributes than this service accepts"));
            }
            budget.spend(1)?;
            let attribute = attribute.map_err(|error| not_well_formed(&error))?;
            let value = attribute.unescape_value().map_err(|error| not_well_formed(&error))?;
            attributes
                .push((String::from_utf8_lossy(attribute.key.as_ref()).into_owned(), value.into_owned()));
        }
        Ok(Element { name, attributes, ..Element::default() })
    }
}

fn close(element: Element, open: &mut [Element], done: &mut Option<Element>) -> Result<(), Malformed> {
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None if done.is_none() => *done = Some(element),
        None => return Err(Malformed::new("The XML has more than one root")),
    }
    Ok(())
}

fn predefined(name: &[u8]) -> Option<char> {
    Some(match name {
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"quot" => '"',
        b"apos" => '\'',
        _ => return None,
    })
}

fn not_well_formed(error: &dyn std::fmt::Display) -> Malformed {
    Malformed(format!("The XML is not well-formed: {error}"))
}
