//! Attributes that types carry.

use super::Metadata;
use super::damage::corrupt;
use crate::capture::Memory;
use crate::model::Known;

const MEMBER_REF: usize = 0x0a;
const CUSTOM_ATTRIBUTE: usize = 0x0c;
const CLASS_LAYOUT: usize = 0x0f;
/// Most attributes of one type that are looked at.
const MAX_ATTRIBUTES: u32 = 256;

impl Metadata {
    /// Whether a type has an attribute, by its row and the attribute's full name.
    pub fn has_attribute(&self, memory: &Memory, of_type: u32, name: &str) -> Known<bool> {
        self.attribute(memory, of_type, name).map(|row| row.is_some())
    }

    /// The number that an attribute of a type was given as its first; `Ok(None)` where the type has no such attribute.
    pub fn attribute_number(&self, memory: &Memory, of_type: u32, name: &str) -> Known<Option<u32>> {
        let Some(row) = self.attribute(memory, of_type, name)? else { return Ok(None) };
        let blob = self.blob(memory, self.tables.cell(memory, CUSTOM_ATTRIBUTE, row, 2)?)?;
        // Source: ECMA-335 II.23.3: a prolog of two bytes, then what the constructor is given.
        match blob.as_slice() {
            [1, 0, a, b, c, d, ..] => Ok(Some(u32::from_le_bytes([*a, *b, *c, *d]))),
            _ => Err(corrupt("what an attribute was given")),
        }
    }

    /// The bytes that a type was declared to have; `Ok(None)` where that was not declared.
    pub fn declared_size(&self, memory: &Memory, of_type: u32) -> Known<Option<u32>> {
        // Source: ECMA-335 II.22.8, ClassLayout: sorted by the type.
        let row = self.sorted(memory, CLASS_LAYOUT, 2, of_type)?;
        row.map(|row| self.tables.cell(memory, CLASS_LAYOUT, row, 1)).transpose()
    }

    /// The row of an attribute of a type.
    fn attribute(&self, memory: &Memory, of_type: u32, name: &str) -> Known<Option<u32>> {
        // Source: ECMA-335 II.24.2.6, HasCustomAttribute: the tag of a type's row is 3, of five bits; II.22.10: sorted by it.
        let wanted = of_type.checked_mul(32).ok_or_else(|| corrupt("a type's row"))? | 3;
        let Some(found) = self.sorted(memory, CUSTOM_ATTRIBUTE, 0, wanted)? else { return Ok(None) };
        let is_of = |row: &u32| self.tables.cell(memory, CUSTOM_ATTRIBUTE, *row, 0) == Ok(wanted);
        let before = (1..found).rev().take(MAX_ATTRIBUTES as usize).take_while(is_of);
        let from = (found..=self.tables.rows(CUSTOM_ATTRIBUTE)).take(MAX_ATTRIBUTES as usize).take_while(is_of);
        for row in before.chain(from) {
            if self.attribute_name(memory, row)? == name {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// The name of an attribute's class, by its row.
    fn attribute_name(&self, memory: &Memory, row: u32) -> Known<String> {
        // Source: ECMA-335 II.24.2.6, CustomAttributeType: three bits, 2 is a method of this module, 3 a member of another's; MemberRefParent: three
        // bits, 0 is a type of this module, 1 one of another.
        let constructor = self.tables.cell(memory, CUSTOM_ATTRIBUTE, row, 1)?;
        match constructor & 7 {
            2 => self.type_name(memory, self.type_of(memory, constructor >> 3)?),
            3 => match self.tables.cell(memory, MEMBER_REF, constructor >> 3, 0)? {
                parent if parent & 7 == 0 => self.type_name(memory, parent >> 3),
                parent if parent & 7 == 1 => self.referred_name(memory, parent >> 3),
                _ => Ok(String::new()),
            },
            _ => Err(corrupt("an attribute without a constructor")),
        }
    }
}
