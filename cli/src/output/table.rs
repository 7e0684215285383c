//! Tables for people, all of one look.

use comfy_table::{ContentArrangement, LineStyle, Table as Drawn, TableStyle};

/// A rule under the headings and nothing else.
const LOOK: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// Columns where the terminal doesn't say how many it has, as when it is none.
const WIDTH: u16 = 160;

/// A table for people.
pub(crate) struct Table(Drawn);

/// A table with these headings. On a terminal it keeps to the terminal's width.
pub(crate) fn table<const COLUMNS: usize>(headings: [&str; COLUMNS]) -> Table {
    let mut drawn = Drawn::new();
    drawn.load_style(LOOK).set_content_arrangement(ContentArrangement::Dynamic).set_header(headings);
    if !drawn.is_tty() {
        drawn.set_width(WIDTH);
    }
    Table(drawn)
}

impl Table {
    /// One more row.
    pub(crate) fn row<const COLUMNS: usize>(&mut self, cells: [String; COLUMNS]) {
        self.0.add_row(cells);
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}
