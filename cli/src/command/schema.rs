//! `backstitch schema`: the JSON Schema of the project file, for editors.

use anyhow::Result;

use crate::display::print_json;
use crate::exit::Exit;

pub(crate) fn run() -> Result<Exit> {
    print_json(&backstitch_proto::definition::json_schema())?;
    Ok(Exit::Done)
}
