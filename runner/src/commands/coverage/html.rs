//! Coverage as one page without any other file: the table, then each function's disassembly.

use std::fmt::Write as _;

use super::model::{Coverage, Covered, Share};
use crate::xen::symbols::code::assembly;

/// Everything before the content, which needs no script.
const STYLE: &str = include_str!("page.css");

/// The page.
pub fn page(coverage: &Coverage<'_>) -> String {
    let title = escape(&format!("Coverage of Xen {}", coverage.xen));
    let functions = coverage.functions_hit();
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n<h1>{title}</h1>\n<p>{}</p>\n\
         <p>{} of {} functions entered</p>\n<table>\n\
         <tr><th>Function<th>Blocks<th><th>Instructions<th></tr>\n",
        escape(coverage.provenance),
        functions.hit,
        functions.of,
    );
    for covered in &coverage.functions {
        let name = escape(&covered.function.label);
        let link = format!("<a href=\"#{}\">{name}</a>", anchor(covered));
        row(&mut page, &link, covered.blocks_hit(), covered.instructions_hit());
    }
    row(&mut page, "all", coverage.blocks_hit(), coverage.instructions_hit());
    page += "</table>\n<p><label><input type=\"checkbox\" id=\"missed\"> only functions with \
             something left, and only what is left in them</label></p>\n<main>\n";
    for covered in &coverage.functions {
        function(&mut page, coverage, covered);
    }
    page += "</main>\n</html>\n";
    page
}

fn row(page: &mut String, name: &str, blocks: Share, instructions: Share) {
    let _ = writeln!(page, "<tr><td>{name}{}{}</tr>", cells(blocks), cells(instructions));
}

fn cells(share: Share) -> String {
    let Share { hit, of } = share;
    let percent = share.percent();
    format!(
        "<td class=\"n\">{hit} of {of}<td><meter min=\"0\" max=\"100\" value=\"{percent}\">\
         </meter> {percent} %"
    )
}

fn function(page: &mut String, coverage: &Coverage<'_>, covered: &Covered<'_>) {
    let name = escape(&covered.function.full_name());
    let share = covered.blocks_hit();
    let whole = if share.hit == share.of { " class=\"whole\"" } else { "" };
    let _ = writeln!(
        page,
        "<section{whole} id=\"{}\"><h2>{name}</h2>\n<p>at {:#x}: {} of {} blocks</p>\n<pre>",
        anchor(covered),
        covered.function.address,
        share.hit,
        share.of
    );
    for block in &covered.blocks {
        let count = covered.block_count(block);
        let class = if count == 0 { "missed" } else { "hit" };
        let _ = write!(page, "<div class=\"{class}\" id=\"a{:x}\">", block.address);
        for index in block.instructions.clone() {
            let instruction = &covered.instructions[index];
            let offset = instruction.ip() - covered.function.address;
            let count = match covered.counts[index] {
                0 => "-".to_owned(),
                count => count.to_string(),
            };
            let words = escape(&assembly(coverage.symbols, instruction));
            let target = instruction.near_branch_target();
            let inside = covered.blocks.iter().any(|block| block.address == target);
            let words = match words.split_once(' ') {
                Some((verb, place)) if inside => {
                    format!("{verb} <a href=\"#a{target:x}\">{place}</a>")
                }
                _ => words,
            };
            let _ = writeln!(page, "<i>{count:>10}</i> <b>+{offset:<#7x}</b> {words}");
        }
        *page += "</div>";
    }
    *page += "</pre></section>\n";
}

fn anchor(covered: &Covered<'_>) -> String {
    format!("f{:x}", covered.function.address)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
