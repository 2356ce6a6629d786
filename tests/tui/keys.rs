//! What keys do.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use dumpscope::model::{Addr, Subject, Tid};
use dumpscope::report::section::{Cell, Column, Row};
use dumpscope::tui::event::{Event, Question};
use dumpscope::tui::stage::Stage;

use super::screen::{self, of_deadlock, of_dump, selected};

/// The address that the selected line begins with.
#[track_caller]
fn address(stage: &mut Stage<'_>) -> u64 {
    let line = selected(stage);
    let hex = line.split(' ').next().and_then(|word| word.strip_prefix("0x"));
    hex.and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or_else(|| panic!("no address in {line}"))
}

#[test]
fn a_thread_chosen_in_one_pane_is_selected_in_all() {
    let mut stage = of_deadlock((80, 24));
    assert!(selected(stage.press("2jj")).contains("4718  worker-7"));
    assert!(selected(stage.press("3")).contains("commit"));
    assert!(selected(stage.press("jj")).contains("list_orders"));
    assert!(selected(stage.press("2")).contains("4723  innocent"));
}

#[test]
fn setthread_selects_in_the_open_pane() {
    let mut stage = of_deadlock((80, 24));
    stage.press("2:setthread -t 4720<Enter>");
    assert!(selected(&mut stage).contains("4720  billing-2"));
    assert!(stage.text().contains("Thread 4720 (billing-2) is selected"), "{}", stage.text());
}

#[test]
fn back_restores_the_page_with_its_selection_filter_and_sort() {
    let mut stage = of_deadlock((80, 24));
    // By name from its end on: billing-3, billing-2, billing-1.
    let before = stage.press("2s3s3<Esc>/billing<Enter>gjj").text();
    assert!(selected(&mut stage).contains("4719  billing-1"), "{before}");
    stage.press("<Enter>j<Enter>");
    assert!(!stage.text().contains("/ billing"));
    assert_eq!(stage.press("HH").text(), before);
    let forward = stage.press("L").text();
    assert!(forward.contains("Threads ▸ billing-1 4719"), "{forward}");
    assert_eq!(stage.press("<C-o>").text(), before);
}

#[test]
fn twenty_steps_are_gone_back_one_by_one() {
    let mut stage = of_deadlock((80, 24));
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
    let mut stage = of_deadlock((80, 24));
    stage.press("2jj");
    assert!(selected(&mut stage).contains("4718"));
    assert!(selected(stage.press("/witness")).contains("4724"));
    assert!(selected(stage.press("<Esc>")).contains("4718"));
}

#[test]
fn the_selection_survives_a_storm_of_sizes() {
    let mut stage = of_deadlock((80, 24));
    stage.press("2jjj");
    for (width, height) in [(120, 40), (60, 20), (10, 3), (0, 0), (300, 80), (61, 21), (109, 24), (110, 24)] {
        stage.resize(width, height);
        stage.text();
    }
    assert!(selected(stage.resize(80, 24)).contains("4719  billing-1"));
}

#[test]
fn the_same_column_again_reverses_and_a_third_time_restores() {
    let mut stage = of_dump("demo", (80, 24));
    let first = |stage: &mut Stage<'_>| {
        let text = stage.press("g").text();
        text.lines().nth(4).unwrap_or_default().to_owned()
    };
    stage.press("4");
    stage.press("s5");
    assert!(first(&mut stage).contains("g_stock"), "smallest first, ties in order");
    stage.press("s5");
    // 19 is more than 5 by value, less by text.
    assert!(first(&mut stage).contains("g_pool_mu"));
    stage.press("s5");
    assert!(first(&mut stage).contains("g_stock"));
}

#[test]
fn numbers_inside_names_sort_by_value() {
    let row = |(tid, name): (u32, &str)| Row::about(Subject::Thread(Tid(tid)), vec![Cell::text(name)]);
    let rows = [(4726, "worker-10"), (4719, "worker-3"), (4725, "worker-9")].map(row).to_vec();
    let mut stage = screen::of_section(screen::table(vec![Column::wide("Thread", 1)], rows), (80, 24));
    let text = stage.press("2s1").text();
    let place = |name: &str| text.lines().position(|line| line.contains(name)).expect("every thread is shown");
    assert!(place("worker-3") < place("worker-9") && place("worker-9") < place("worker-10"), "{text}");
}

#[test]
fn the_palette_runs_what_is_typed_and_what_is_chosen() {
    let mut stage = of_deadlock((80, 24));
    assert!(stage.press(":thr<Enter>").text().contains("4717  worker-3"));
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
    stage.press("<C-u>po g_orders<Enter>");
    assert_eq!(stage.asked.last().map(Question::line).as_deref(), Some("help po g_orders"), "what to use instead");
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
    let mut stage = of_deadlock((60, 20));
    stage.press("2jyn").press("yr").press("4").press("ya").press("8").press("ya");
    let memory = address(&mut stage);
    assert_eq!(
        stage.copied,
        [
            "reserve",
            "1  4717  worker-3  blocked  errorcheck mutex g_stock  reserve",
            // nm: g_orders is 0x5440 above the module's base, 0x564db6152000.
            "0x564db6157440",
            &format!("{memory:#x}"),
        ]
    );
    stage.copied.clear();
    stage.press("4yp");
    let pane = stage.copied.first().expect("the pane was copied");
    assert_eq!(pane.lines().next(), Some("Lock  Kind  Owner  Thread  Waiters  In  Evidence"));
    assert!(pane.lines().any(|line| line.starts_with("g_stock  errorcheck mutex  4718  worker-7  1  ")), "{pane}");
}

#[test]
fn an_exception_is_called_by_its_type_and_opens_as_the_one_that_it_is() {
    let mut stage = of_dump("exception", (120, 40));
    stage.press("5yn");
    assert_eq!(stage.copied, ["shop::OutOfStock"]);
    assert!(stage.text().contains("─ shop::OutOfStock ─"), "{}", stage.text());
    let list = stage.press(":pe -n 1 -list<Enter>").text();
    assert!(list.contains("4712  worker") && !list.contains("4711  main"), "{list}");
    let page = stage.press("<Enter>").text();
    assert!(page.contains("item 5, being handled"), "{page}");
}

#[test]
fn a_panic_is_called_by_its_type() {
    let mut stage = of_dump("panic", (120, 40));
    stage.press("5yn");
    assert_eq!(stage.copied, ["panic"]);
}

#[test]
fn why_something_is_unknown_is_copied_with_it() {
    let row = Row::new(vec![Cell::text("Rust Mutex"), Cell::unknown("the lock does not name it")]);
    let locks = screen::table(vec![Column::left("Kind"), Column::right("Owner")], vec![row]);
    let mut stage = screen::of_section(locks, (60, 20));
    stage.press("4yp");
    assert_eq!(stage.copied, ["Kind  Owner\nRust Mutex  ? (the lock does not name it)"]);
}

#[test]
fn escape_steps_out_of_one_thing_at_a_time() {
    let mut stage = of_deadlock((80, 24));
    stage.press("2<Enter>/main<Enter>?");
    assert!(stage.text().contains("Next row"));
    assert!(!stage.press("<Esc>").text().contains("Next row"));
    assert!(stage.text().contains("/ main"));
    assert!(!stage.press("<Esc>").text().contains("/ main"));
    assert!(stage.text().contains("Threads ▸ 4711 main"), "{}", stage.text());
    assert!(!stage.press("<Esc>").text().contains("Threads ▸ 4711 main"));
    stage.press("<Esc><Esc>");
    assert!(!stage.quit, "Esc never quits");
}

#[test]
fn a_key_right_behind_escape_is_that_key_and_escape() {
    let mut stage = of_deadlock((80, 24));
    stage.press("2/billing<Enter>");
    // `Esc` `G` within one read of the terminal.
    stage.send(Event::Key(KeyEvent::new(KeyCode::Char('G'), KeyModifiers::ALT)));
    assert!(!stage.text().contains("/ billing"), "{}", stage.text());
    assert!(selected(&mut stage).contains("4724  witness"), "{}", stage.text());
    stage.press("/");
    stage.send(Event::Key(KeyEvent::new(KeyCode::Char('q'), KeyModifiers::ALT)));
    assert!(stage.quit, "the filter is left, then the screen");
}

#[test]
fn control_c_quits_only_the_second_time() {
    let mut stage = of_deadlock((80, 24));
    stage.press("<C-c>");
    assert!(!stage.quit);
    stage.press("j<C-c>");
    assert!(!stage.quit, "another key came between");
    stage.press("<C-c>");
    assert!(stage.quit);
}

#[test]
fn q_is_a_letter_while_something_is_typed() {
    let mut stage = of_deadlock((80, 24));
    assert!(stage.press("2/q").text().contains("/ q"));
    assert!(!stage.quit);
    stage.press("<Esc>q");
    assert!(stage.quit);
}

#[test]
fn folds_close_open_and_walk_the_tree() {
    let mut stage = of_deadlock((80, 24));
    // Below the two frames that start every thread: worker and its five actions, witness.
    stage.press("3g");
    assert!(stage.press("h").text().contains("7 below"));
    assert!(!stage.text().contains("dispatch"));
    assert!(stage.press("l").text().contains("dispatch"));
    assert!(selected(stage.press("j")).contains("worker › handle_request › dispatch"));
    stage.press("l");
    assert!(stage.text().lines().any(|line| line.trim() == "│ dispatch"), "{}", stage.text());
    assert!(selected(stage.press("l")).contains("settle"));
    assert!(selected(stage.press("jj")).contains("commit"));
    assert!(selected(stage.press("h")).contains("worker"), "a leaf goes to its parent");
    stage.press("C");
    assert_eq!(stage.text().lines().filter(|line| line.contains(" below")).count(), 1);
    stage.press("E");
    assert!(stage.text().lines().any(|line| line.trim().ends_with("│ pthread_mutex_lock")), "{}", stage.text());
}

#[test]
fn memory_goes_on_past_the_end_of_what_is_shown() {
    let mut stage = of_dump("demo", (80, 24));
    let first = address(stage.press("8"));
    assert_eq!(address(stage.press("G")), first + 0x3f8, "1,024 bytes are held");
    assert_eq!(address(stage.press("j")), first + 0x3f8, "the window moved under the selection");
    assert_eq!(address(stage.press("j")), first + 0x400);
    // The window stands half its length further on; above its first row stands what the memory is part of.
    assert!(selected(stage.press("g")).starts_with("stack of 4745"));
    assert_eq!(address(stage.press("<C-b>")), first + 0x200, "it moved back under what was first");
    assert_eq!(address(stage.press("gj")), first);
}

#[test]
fn a_word_is_followed_where_it_points_to() {
    let mut stage = of_dump("demo", (80, 24));
    let first = address(stage.press("8"));
    // The fourth word: c0 16 03 df d5 7f 00 00.
    assert_eq!(address(stage.press("jjj")), first + 0x18);
    assert_eq!(address(stage.press("f")), 0x7fd5_df03_16c0);
    assert_eq!(address(stage.press("H")), first + 0x18);
    // The first is 0x12, where there is no memory: the page stays.
    stage.press("kkk");
    let after = stage.press("f").text();
    assert!(after.contains("not mapped"), "{after}");
    assert_eq!(address(&mut stage), first);
}

#[test]
fn what_a_lock_is_about_opens_where_locks_are_at_home() {
    let mut stage = of_deadlock((80, 24));
    assert!(selected(stage.press("<Enter>")).starts_with("g_stock"), "from the summary's verdict");
    let page = stage.press("<Enter>").text();
    // nm: g_stock is 0x5400 above the module's base, 0x564db6152000.
    assert!(page.contains("Locks ▸ lock g_stock") && page.contains("0x564db6157400"), "{page}");
    stage.press("H");
    assert!(selected(&mut stage).starts_with("g_stock"));
}

#[test]
fn the_detail_beside_the_list_follows_the_selection_and_can_be_hidden() {
    let mut stage = of_deadlock((120, 40));
    assert!(stage.press("2j").text().contains("Thread worker-3 4717"));
    assert!(stage.press("j").text().contains("Thread worker-7 4718"));
    assert!(!stage.press("d").text().contains("Thread worker-7 4718"));
    assert!(stage.press("d").text().contains("Thread worker-7 4718"));
}

#[test]
fn looking_along_a_list_asks_for_each_detail_once() {
    let mut stage = of_deadlock((120, 40));
    stage.press("2jjjkkkjjj");
    let stacks = stage.asked.iter().filter(|asked| asked.line() == "stack");
    assert_eq!(stacks.count(), 4);
}

#[test]
fn addresses_of_a_detail_open_memory() {
    let mut stage = of_dump("demo", (80, 24));
    stage.press(":readmemory 0x7fd5df031000<Enter>");
    assert_eq!(stage.asked.last().map(Question::line).as_deref(), Some("readmemory 0x7fd5df031000"));
    assert!(selected(stage.press("j")).starts_with(&Addr(0x7fd5_df03_1000).to_string()));
}
