//! Parts of checkpoints, asked for and given (5.1).

use bytes::{BufMut, BytesMut};
use viewstamped_state::Place;

use super::DecodeError;
use super::reader::Reader;
use super::replica::{checkpoint_id, put_checkpoint_id, put_count};
use crate::message::{Body, GetPages, Pages, Part};

const HEADER: u8 = 1;
const SERVICE: u8 = 2;
const CLIENT_TABLE: u8 = 3;

/// Room in a frame for what these messages have besides a few fields.
pub(super) fn room(body: &Body) -> usize {
    let place_bytes = |part: &Part| match part {
        Part::Header => 1,
        Part::Service(place) | Part::ClientTable(place) => 1 + place.encoded_bytes(),
    };
    match body {
        Body::GetPages(m) => m.parts.iter().map(place_bytes).sum(),
        Body::Pages(m) => m.pages.iter().map(|page| 4 + page.len()).sum(),
        _ => 0,
    }
}

pub(super) fn put_get_pages(out: &mut BytesMut, m: &GetPages) {
    out.put_u64_le(m.number);
    put_checkpoint_id(out, &m.checkpoint);
    out.put_u32_le(m.bytes_max);
    put_count(out, m.parts.len());
    for part in &m.parts {
        match part {
            Part::Header => out.put_u8(HEADER),
            Part::Service(place) => {
                out.put_u8(SERVICE);
                place.encode(out);
            }
            Part::ClientTable(place) => {
                out.put_u8(CLIENT_TABLE);
                place.encode(out);
            }
        }
    }
}

pub(super) fn get_pages(reader: &mut Reader<'_>) -> Result<GetPages, DecodeError> {
    let number = reader.number("number of the question")?;
    let checkpoint = checkpoint_id(reader)?;
    let bytes_max = reader.u32("most bytes")?;
    let count = reader.count("parts", usize::MAX, 1)?;
    let parts = (0..count).map(|_| part(reader)).collect::<Result<_, _>>()?;
    Ok(GetPages { number, checkpoint, parts, bytes_max })
}

fn part(reader: &mut Reader<'_>) -> Result<Part, DecodeError> {
    match reader.u8("kind of part")? {
        HEADER => Ok(Part::Header),
        SERVICE => place(reader).map(Part::Service),
        CLIENT_TABLE => place(reader).map(Part::ClientTable),
        found => Err(reader.choice("kind of part", found)),
    }
}

fn place(reader: &mut Reader<'_>) -> Result<Place, DecodeError> {
    let rest = reader.rest();
    let Some((place, after)) = Place::decode(rest) else { return Err(reader.no_place("place")) };
    reader.skip(rest.len() - after.len());
    Ok(place)
}

pub(super) fn put_pages(out: &mut BytesMut, m: &Pages) {
    out.put_u64_le(m.number);
    put_checkpoint_id(out, &m.checkpoint);
    put_count(out, m.pages.len());
    for page in &m.pages {
        put_count(out, page.len());
        out.put_slice(page);
    }
}

pub(super) fn pages(reader: &mut Reader<'_>) -> Result<Pages, DecodeError> {
    let number = reader.number("number of the question")?;
    let checkpoint = checkpoint_id(reader)?;
    let count = reader.count("pages", usize::MAX, 4)?;
    let mut pages = Vec::with_capacity(count);
    for _ in 0..count {
        let length = reader.u32("length of a page")? as usize;
        pages.push(reader.kept("page", length)?);
    }
    Ok(Pages { number, checkpoint, pages })
}
