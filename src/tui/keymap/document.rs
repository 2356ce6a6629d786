//! The tables as a page of the documentation.

use super::{GRAMMAR, KEYMAP, MOUSE, Scope};

/// `docs/keys.md`.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Keys\n\nThis page is generated from the key table in `src/tui/keymap/table.rs`, which the program itself reads; \
         `?` shows the part\nof it that counts where you are. A name in the last column does the same at the `:` prompt.\n",
    );
    for scope in Scope::ALL {
        page.push_str(&format!("\n## {}\n\n| Keys | What they do | Command |\n| --- | --- | --- |\n", scope.title()));
        for binding in KEYMAP.iter().filter(|binding| binding.scope == scope) {
            let keys: Vec<String> = binding
                .keys()
                .split(' ')
                .map(|key| if key == "…" { key.to_owned() } else { format!("`{key}`") })
                .collect();
            let command = if binding.command.is_empty() { String::new() } else { format!("`{}`", binding.command) };
            page.push_str(&format!("| {} | {} | {command} |\n", keys.join(" "), binding.doc));
        }
    }
    page.push_str(
        "\n## What a filter means\n\nA title stays above what is left below it; what stands below a title that matches stays whole. `Esc` drops \
         the filter, `n` and `N`\ngo from match to match all the same.\n\n| Typed | Kept |\n| --- | --- |\n",
    );
    for (typed, doc) in GRAMMAR {
        page.push_str(&format!("| `{typed}` | {doc} |\n"));
    }
    page.push_str(
        "\n## Mouse\n\nOff until `m` or `:mouse` turns it on, so that the terminal's own selection works; the same turns it \
         off again.\n\n| Mouse | What it does |\n| --- | --- |\n",
    );
    for (gesture, doc) in MOUSE {
        page.push_str(&format!("| {gesture} | {doc} |\n"));
    }
    page
}
