//! What keys do.

use dumpscope::model::Addr;
use dumpscope::tui::event::Question;

use super::fake;

/// The selected line, without its marker.
#[track_caller]
fn selected(stage: &mut dumpscope::tui::stage::Stage<'_>) -> String {
    let text = stage.text();
    let line = text.lines().find(|line| line.starts_with('▸'));
    let line = line.unwrap_or_else(|| panic!("no line is selected:\n{text}"));
    line.trim_start_matches('▸').trim().to_owned()
}

#[test]
fn a_thread_chosen_in_one_pane_is_selected_in_all() {
    let mut stage = fake::stage(80, 24);
    assert!(selected(stage.press("2jj")).contains("4723 worker-7"));
    assert!(selected(stage.press("3")).contains("shop::Orders::commit"));
    assert!(selected(stage.press("jj")).contains("shop::Pool::next"));
    assert!(selected(stage.press("2")).contains("4726 worker-10"));
}

#[test]
fn setthread_selects_in_the_open_pane() {
    let mut stage = fake::stage(80, 24);
    stage.press("2:setthread -t 4725<Enter>");
    assert!(selected(&mut stage).contains("4725 worker-9"));
    assert!(stage.text().contains("Thread 4725 is selected."));
}

#[test]
fn back_restores_the_page_with_its_selection_filter_and_sort() {
    let mut stage = fake::stage(80, 24);
    let before = stage.press("2s2<Esc>/worker<Enter>jj").text();
    stage.press("<Enter>j<Enter>");
    assert!(!stage.text().contains("/ worker"));
    assert_eq!(stage.press("HH").text(), before);
    let forward = stage.press("L").text();
    assert!(forward.contains("thread 4726") || forward.contains("thread 4725"), "{forward}");
    assert_eq!(stage.press("<C-o>").text(), before);
}

#[test]
fn twenty_steps_are_gone_back_one_by_one() {
    let mut stage = fake::stage(80, 24);
    let mut seen = Vec::new();
    for step in 0..20 {
        seen.push(stage.text());
        stage.press(if step % 2 == 0 { "2" } else { "4" });
    }
    for before in seen.iter().rev() {
        let now = stage.press("<C-o>").text();
        // The footer offers to go back as long as there is somewhere to go back to.
        let page = |text: &str| text.lines().take(20).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(page(&now), page(before));
    }
}

#[test]
fn the_selection_survives_a_filter_that_hides_it() {
    let mut stage = fake::stage(80, 24);
    stage.press("2jj");
    assert!(selected(&mut stage).contains("4723"));
    assert!(selected(stage.press("/flusher")).contains("4730"));
    assert!(selected(stage.press("<Esc>")).contains("4723"));
}

#[test]
fn the_selection_survives_a_storm_of_sizes() {
    let mut stage = fake::stage(80, 24);
    stage.press("2jjj");
    for (width, height) in [(120, 40), (60, 20), (10, 3), (0, 0), (300, 80), (61, 21), (109, 24), (110, 24)] {
        stage.resize(width, height);
        stage.text();
    }
    assert!(selected(stage.resize(80, 24)).contains("4725 worker-9"));
}

#[test]
fn the_same_column_again_reverses_and_a_third_time_restores() {
    let mut stage = fake::stage(80, 24);
    let first = |stage: &mut dumpscope::tui::stage::Stage<'_>| {
        let text = stage.press("g").text();
        text.lines().nth(4).unwrap_or_default().to_owned()
    };
    stage.press("4");
    stage.press("s5");
    assert!(first(&mut stage).contains("g_stock"), "smallest first, ties in order");
    stage.press("s5");
    // 1,019 is more than 2 by value, less by text.
    assert!(first(&mut stage).contains("g_pool_mu"));
    stage.press("s5");
    assert!(first(&mut stage).contains("g_stock"));
}

#[test]
fn numbers_inside_names_sort_by_value() {
    let mut stage = fake::stage(80, 24);
    let text = stage.press("2s2").text();
    let place = |name: &str| text.lines().position(|line| line.contains(name)).expect("every thread is shown");
    assert!(place("worker-9") < place("worker-10"));
}

#[test]
fn the_palette_runs_what_is_typed_and_what_is_chosen() {
    let mut stage = fake::stage(80, 24);
    assert!(stage.press(":thr<Enter>").text().contains("4719 worker-3"));
    stage.press(":bt -n 3<Enter>");
    assert_eq!(stage.asked.last().map(Question::words).as_deref(), Some("stack -n 3 (thread 4711)"));
    assert!(stage.press(":nonsense<Enter>").text().contains("unknown command 'nonsense'"));
    let asked = stage.asked.len();
    for guess in ["thrds", "prlst x", "se"] {
        stage.press("<C-u>").press(guess).press("<Enter>");
        assert_eq!(stage.asked.len(), asked, "{guess} is a guess, and is not run");
    }
    stage.press("<C-u>clrthr");
    assert!(stage.text().contains("clrthreads → threads"), "{}", stage.text());
    stage.press("<C-u>p g_orders<Enter>");
    assert_eq!(stage.asked.last().map(Question::line).as_deref(), Some("help p g_orders"), "what to use instead");
    stage.press(":eest<Tab><Enter>");
    assert_eq!(stage.asked.last().map(Question::line).as_deref(), Some("stack -all"));
    stage.press(":bt -<Tab><Enter>");
    assert_eq!(stage.asked.last().map(Question::line).as_deref(), Some("stack -all"), "options are completed");
    stage.press(":<Up>");
    assert!(stage.text().contains(":bt -all"), "{}", stage.text());
    stage.press("<Up>");
    assert!(stage.text().contains(":eestack"), "{}", stage.text());
    stage.press("<Esc>:quit<Enter>");
    assert!(stage.quit);
}

#[test]
fn what_is_copied_is_whole_and_plain() {
    let mut stage = fake::stage(60, 20);
    stage.press("2j").press("yn").press("yr").press("4").press("ya").press("7").press("ya");
    assert_eq!(
        stage.copied,
        [
            "shop::Stock::reserve(shop::Order const&)",
            "1  4719 worker-3  blocked  mutex g_stock  shop::Stock::reserve(shop::Order const&)",
            "0x4e1360",
            "0x10000",
        ]
    );
    stage.copied.clear();
    stage.press("4yp");
    let pane = stage.copied.first().expect("the pane was copied");
    assert_eq!(pane.lines().next(), Some("Lock  Kind  Owner  Thread  Waiters  In  Evidence"));
    assert!(pane.contains("? (the lock does not name it)"), "{pane}");
}

#[test]
fn escape_steps_out_of_one_thing_at_a_time() {
    let mut stage = fake::stage(80, 24);
    stage.press("2<Enter>/main<Enter>?");
    assert!(stage.text().contains("Next row"));
    assert!(!stage.press("<Esc>").text().contains("Next row"));
    assert!(stage.text().contains("/ main"));
    assert!(!stage.press("<Esc>").text().contains("/ main"));
    assert!(stage.text().contains("thread 4711"));
    assert!(!stage.press("<Esc>").text().contains("thread 4711"));
    stage.press("<Esc><Esc>");
    assert!(!stage.quit, "Esc never quits");
}

#[test]
fn control_c_quits_only_the_second_time() {
    let mut stage = fake::stage(80, 24);
    stage.press("<C-c>");
    assert!(!stage.quit);
    stage.press("j<C-c>");
    assert!(!stage.quit, "another key came between");
    stage.press("<C-c>");
    assert!(stage.quit);
}

#[test]
fn q_is_a_letter_while_something_is_typed() {
    let mut stage = fake::stage(80, 24);
    assert!(stage.press("2/q").text().contains("/ q"));
    assert!(!stage.quit);
    stage.press("<Esc>q");
    assert!(stage.quit);
}

#[test]
fn folds_close_open_and_walk_the_tree() {
    let mut stage = fake::stage(80, 24);
    stage.press("3g");
    assert!(selected(&mut stage).contains("clone3"));
    assert!(stage.press("h").text().contains("6 below"));
    assert!(!stage.text().contains("shop::dispatch"));
    assert!(stage.press("l").text().contains("shop::dispatch"));
    stage.press("l");
    assert!(stage.text().lines().any(|line| line.trim() == "start_thread"), "{}", stage.text());
    assert!(selected(stage.press("l")).contains("shop::dispatch"));
    assert!(selected(stage.press("jj")).contains("shop::Orders::commit"));
    assert!(selected(stage.press("h")).contains("shop::dispatch"), "a leaf goes to its parent");
    stage.press("C");
    assert_eq!(stage.text().lines().filter(|line| line.contains(" below")).count(), 1);
    stage.press("E");
    assert!(stage.text().lines().any(|line| line.trim().ends_with("│ __lll_lock_wait")));
}

#[test]
fn memory_goes_on_past_the_end_of_what_is_shown() {
    let mut stage = fake::stage(80, 24);
    stage.press("7G");
    assert!(selected(&mut stage).starts_with("0x103f8"), "1,024 bytes are held");
    assert!(selected(stage.press("j")).starts_with("0x103f8"), "the window moved under the selection");
    assert!(selected(stage.press("j")).starts_with("0x10400"));
    assert!(selected(stage.press("g<C-b>")).starts_with("0x10"));
}

#[test]
fn a_word_is_followed_where_it_points_to() {
    let mut stage = fake::stage(80, 24);
    assert!(selected(stage.press("7jf")).starts_with("0x10048"));
    assert!(selected(stage.press("H")).starts_with("0x10008"));
    // Near the end of the memory there is nothing to follow to: the page stays.
    stage.press(":readmemory 0x1fff8<Enter>");
    let there = selected(&mut stage);
    let after = stage.press("f").text();
    assert!(after.contains("not mapped"), "{after}");
    assert_eq!(selected(&mut stage), there);
}

#[test]
fn what_a_lock_is_about_opens_where_locks_are_at_home() {
    let mut stage = fake::stage(80, 24);
    assert!(selected(stage.press("<Enter>")).starts_with("g_stock"), "from the summary's verdict");
    let page = stage.press("<Enter>").text();
    assert!(page.contains("0x4e1360") && page.contains("owner-field"), "{page}");
    stage.press("H");
    assert!(selected(&mut stage).starts_with("g_stock"));
}

#[test]
fn the_detail_beside_the_list_follows_the_selection_and_can_be_hidden() {
    let mut stage = fake::stage(120, 40);
    assert!(stage.press("2j").text().contains("Thread 4719 worker-3"));
    assert!(stage.press("j").text().contains("Thread 4723 worker-7"));
    assert!(!stage.press("d").text().contains("Thread 4723 worker-7"));
    assert!(stage.press("d").text().contains("Thread 4723 worker-7"));
}

#[test]
fn looking_along_a_list_asks_for_each_detail_once() {
    let mut stage = fake::stage(120, 40);
    stage.press("2jjjkkkjjj");
    let stacks = stage.asked.iter().filter(|asked| asked.line() == "stack");
    assert_eq!(stacks.count(), 4);
}

#[test]
fn addresses_of_a_detail_open_memory() {
    let mut stage = fake::stage(80, 24);
    stage.press(":readmemory 0x10100<Enter>");
    assert_eq!(stage.asked.last().map(Question::line).as_deref(), Some("readmemory 0x10100"));
    assert!(selected(&mut stage).starts_with(&Addr(0x1_0100).to_string()));
}
