//! `wa-sbc.toml(5)`: the configuration as a man page.

use super::reference::Table;

/// The page in the language of roff.
pub(super) fn page(tables: &[Table]) -> String {
    let mut page = format!(
        ".TH wa-sbc.toml 5 \"\" \"wa-sbc {}\"\n\
         .SH NAME\nwa-sbc.toml \\- the configuration of wa-sbc\n\
         .SH SYNOPSIS\n/etc/wa-sbc/wa-sbc.toml\n\
         .SH DESCRIPTION\n\
         One file in TOML. Every key stands below with its default, or, after \\(lqe.g.\\(rq, with an example where the words \
         say what its absence means. A key that does not exist is an error.\n",
        env!("CARGO_PKG_VERSION")
    );
    for table in tables {
        let header = match table.header.as_str() {
            "" => "BEFORE ALL TABLES",
            header => header,
        };
        page.push_str(&format!(
            ".SH \"{}\"\n{}",
            plain(header),
            paragraph(&table.words)
        ));
        for key in &table.keys {
            let example = if key.is_example { "e.g. " } else { "" };
            page.push_str(&format!(
                ".TP\n\\fB{}\\fR = {example}{}\n{}",
                plain(&key.name),
                plain(&key.value),
                paragraph(&key.words)
            ));
        }
    }
    page.push_str(".SH SEE ALSO\nwa\\-sbc(1), wa\\-sbc\\-check(1), wa\\-sbc\\-init(1)\n");
    page
}

fn paragraph(words: &str) -> String {
    match words {
        "" => String::new(),
        words => format!("{}\n", plain(words)),
    }
}

/// What roff would take for its own stands as it is written.
fn plain(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    let text = text.replace('"', "\\(dq");
    match text.starts_with(['.', '\'']) {
        true => format!("\\&{text}"),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_the_configuration_is_taken_for_a_request_of_roff() {
        assert_eq!(plain(".spool"), "\\&.spool");
        assert_eq!(plain("a \\d-\"x\""), "a \\ed\\-\\(dqx\\(dq");
    }
}
