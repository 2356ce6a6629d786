//! The terminal UI: one main loop, one channel of events, answers from workers.
//!
//! [`app::App`] holds the state; this file feeds it and does what it asks for. The first frame is drawn before the dump is
//! open.

pub mod app;
pub mod arrange;
mod ask;
mod beside;
mod chrome;

pub mod clipboard;
pub mod document;
mod draw;
pub mod event;
mod facts;
mod go;
mod heap;
mod history;
pub mod ink;
pub mod keymap;
pub mod layout;
pub mod look;
pub mod marked;
mod marks;
mod mouse;
pub mod palette;
pub mod pane;
mod panics;
pub mod pick;
mod press;
mod probe;
mod prompts;
mod source;
pub mod stage;
mod terminal;
pub mod theme;
pub mod widgets;

pub mod worker;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use rustix::process::{Signal, kill_current_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;

use self::app::App;
use self::clipboard::{Copying, Inside};
use self::event::{Effect, Event};
use self::history::History;
use self::look::{Look, Open, Said};
use self::pick::{Choose, Chosen};
use self::terminal::Screen;
use self::worker::{List, Workers};
use crate::capture::collect::Request;
use crate::error::Error;
use crate::job::Job;
use crate::log::Log;
use crate::session::{Session, Source};
use crate::settings::Settings;
use crate::target::Search;

/// How long a signal waits for the main loop to end.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often a screen that says how long ago a process was captured is drawn.
const SECOND: Duration = Duration::from_secs(1);

/// How often progress is drawn.
const TICK: Duration = Duration::from_millis(100);

/// Opens a dump, under a job.
pub type Opening = Box<dyn FnOnce(&Job) -> Result<Arc<Session>, Error> + Send>;

/// Opens a dump in the terminal, shown as the settings say. What is done is written to `log`.
pub fn open(dump: &Path, search: &Search, settings: &Settings, log: Log) -> Result<(), Error> {
    let (path, search) = (dump.to_owned(), search.clone());
    let name = dump.file_name().map_or_else(|| dump.display().to_string(), |name| name.to_string_lossy().into_owned());
    let opening = move |job: &Job| Session::open(Source::File(path), &search, job).map(Arc::new);
    let history = settings.history.then(|| History::of_file(dump));
    run(Start::Open(name, Box::new(opening)), history, settings, log)
}

/// Captures a live process and opens what was captured.
pub fn live(request: &Request, search: &Search, settings: &Settings, log: Log) -> Result<(), Error> {
    let (request, search) = (request.clone(), search.clone());
    let name = format!("pid {}", request.pid);
    let opening = move |job: &Job| Session::live(&request, &search, job).map(Arc::new);
    run(Start::Open(name, Box::new(opening)), settings.history.then(|| History::named("live")), settings, log)
}

/// Browses an opened dump in the terminal.
pub fn browse(session: Arc<Session>, settings: &Settings, log: Log) -> Result<(), Error> {
    let name = session.source.path().display().to_string();
    let history = settings.history.then(|| History::named(&name));
    run(Start::Open(name, Box::new(move |_| Ok(session))), history, settings, log)
}

/// What the terminal shows first.
enum Start {
    /// A dump of this name.
    Open(String, Opening),
    /// A list, called so, of things to open.
    Pick(&'static str, List, Choose),
}

/// What reaches the main loop from outside the screen's state.
#[expect(clippy::large_enum_variant, reason = "few are under way at a time, nearly all of them events")]
enum Outside {
    Event(Event),
    /// A signal that ends the program.
    Ended(i32),
    /// SIGTSTP from outside: what Ctrl-Z does.
    Stop,
    /// What the terminal says of itself.
    Said(Said),
    /// tmux did not take what was copied: it may pass it on.
    NotByTmux(Copying),
    /// The terminal is gone.
    Gone,
}

fn run(start: Start, history: Option<History>, settings: &Settings, log: Log) -> Result<(), Error> {
    let var = |name: &str| std::env::var(name).ok();
    if settings.color == Some(true) {
        crossterm::style::force_color_output(true);
    }
    let (look, open) = Look::detect(settings, Said::default(), var);
    let mut screen = terminal::take()?;
    probe::ask(open, &mut io::stdout()).map_err(lost)?;
    let (outside, events) = unbounded();
    listen(&outside, open)?;
    let (answers, answered) = unbounded();
    let size = crossterm::terminal::size().unwrap_or((80, 24));
    let mut workers = Workers::new(answers.clone(), log);
    let job = Job::default();
    let (app, opening, choosing) = match start {
        Start::Open(name, opening) => (App::new(look, size, name, job.clone()), Some(opening), None),
        Start::Pick(title, list, choose) => {
            workers.list(list);
            (App::choosing(look, size, title), None, Some((title, choose)))
        }
    };
    let mut app = app;
    app.show_pc(settings.pc);
    let mut main = Main {
        app,
        settings: *settings,
        look,
        workers,
        answers,
        outside,
        inside: Inside::detect(var),
        choosing,
        history,
        quit: None,
    };
    main.recall();
    main.draw(&mut screen)?;
    if let Some(opening) = opening {
        main.workers.open(job, opening);
    }
    let ended = main.serve(&mut screen, &events, &answered);
    terminal::restore();
    match (ended, main.quit) {
        (Err(error), _) => Err(error),
        (Ok(()), Some(Quit::Signal(number))) => {
            // Ends this process as the signal would have, so that its parent sees why.
            signal_hook::low_level::emulate_default_handler(number)
                .map_err(|source| Error::Io { path: "a signal".into(), source })
        }
        (Ok(()), _) => Ok(()),
    }
}

/// Why the loop ends.
enum Quit {
    Asked,
    Signal(i32),
}

struct Main {
    app: App,
    settings: Settings,
    look: Look,
    workers: Workers,
    answers: Sender<Event>,
    outside: Sender<Outside>,
    inside: Inside,
    /// What there is to choose from is called so, and what becomes of a choice.
    choosing: Option<(&'static str, Choose)>,
    /// What was typed at the `:` prompt; `None` where it is not kept.
    history: Option<History>,
    quit: Option<Quit>,
}

impl Main {
    /// Gives the screen what was typed before.
    fn recall(&mut self) {
        self.app.remember_lines(self.history.as_ref().map(|history| history.lines.clone()).unwrap_or_default());
    }

    fn serve(
        &mut self,
        screen: &mut Screen,
        outside: &Receiver<Outside>,
        answered: &Receiver<Event>,
    ) -> Result<(), Error> {
        while self.quit.is_none() {
            let first = crossbeam_channel::select! {
                recv(outside) -> event => event.ok(),
                recv(answered) -> event => event.ok().map(Outside::Event),
                default(self.patience()) => Some(Outside::Event(Event::Tick)),
            };
            let Some(first) = first else { return Ok(()) };
            self.take(first, screen)?;
            // What came meanwhile is taken before the next frame: a flood of keys costs one frame.
            while self.quit.is_none() {
                let next = outside.try_recv().ok().or_else(|| answered.try_recv().ok().map(Outside::Event));
                match next {
                    Some(next) => self.take(next, screen)?,
                    None => break,
                }
            }
            if self.quit.is_none() {
                self.draw(screen)?;
            }
        }
        Ok(())
    }

    /// How long nothing has to happen until the screen is drawn anew.
    fn patience(&self) -> Duration {
        match (self.app.is_busy(), self.app.is_live()) {
            (true, _) => TICK,
            (false, true) => SECOND,
            (false, false) => Duration::MAX,
        }
    }

    fn take(&mut self, what: Outside, screen: &mut Screen) -> Result<(), Error> {
        match what {
            // Of several things one can choose another.
            Outside::Event(Event::Opened(Err(failure))) if self.choosing.is_some() => {
                self.workers.refused();
                self.choose_again(failure.words(), screen)?;
            }
            Outside::Event(Event::Opened(Err(failure))) => match self.workers.refused() {
                // Nothing to browse: the reason belongs on the command line, with its exit status.
                Some(error) => return Err(error),
                None => drop(self.app.update(Event::Opened(Err(failure)))),
            },
            Outside::Event(event) => {
                for effect in self.app.update(event) {
                    self.effect(effect, screen)?;
                }
            }
            Outside::Stop => self.effect(Effect::Suspend, screen)?,
            Outside::Ended(signal) => self.quit = Some(Quit::Signal(signal)),
            Outside::Said(said) => {
                self.look = Look::detect(&self.settings, said, |name| std::env::var(name).ok()).0;
                self.app.look(self.look);
            }
            Outside::NotByTmux(copying) => self.copied(&copying, Inside::Tmux),
            Outside::Gone => self.quit = Some(Quit::Asked),
        }
        Ok(())
    }

    fn effect(&mut self, effect: Effect, screen: &mut Screen) -> Result<(), Error> {
        match effect {
            Effect::Ask(ticket, question, job) => self.workers.ask(ticket, question, job),
            Effect::Arrange(ticket, arranging) => self.workers.arrange(ticket, arranging),
            Effect::Copy { text, what } => {
                let copying = Copying::new(&text, &what);
                match self.inside {
                    Inside::Tmux => self.copy_through_tmux(copying),
                    inside => self.copied(&copying, inside),
                }
            }
            Effect::Keep(line) => {
                if let Some(history) = &mut self.history
                    && history.add(&line)
                {
                    // A home on a dead disk must not hold up the screen.
                    let history = history.clone();
                    worker::start(move || history.save());
                }
            }
            Effect::Choose(action, row) => self.choose(action, row, screen)?,
            Effect::Mouse(on) => terminal::mouse(on).map_err(lost)?,
            Effect::Redraw => {
                // `Terminal::clear` would ask the terminal where its cursor is, and the answer would go to the keys.
                let size = screen.size().map_err(lost)?;
                screen.resize(size.into()).map_err(lost)?;
            }
            Effect::Suspend if !terminal::can_be_continued() => {
                let why = "not suspended: no shell is there to bring it back";
                let _ = self.answers.send(Event::Refused(why.to_owned()));
            }
            Effect::Suspend => {
                terminal::restore();
                // The whole group stops, as it does when the terminal's driver sees Ctrl-Z: whoever started us stops too.
                // SIGSTOP, since SIGTSTP is ours to handle.
                kill_current_process_group(Signal::STOP).map_err(|error| lost(error.into()))?;
                terminal::enter().map_err(lost)?;
                let _ = self.answers.send(Event::Resumed);
            }
            Effect::Quit => self.quit = Some(Quit::Asked),
        }
        Ok(())
    }

    /// Opens what was chosen in this very screen, or leaves with it.
    fn choose(&mut self, action: keymap::Action, row: usize, screen: &Screen) -> Result<(), Error> {
        let Some((_, choose)) = &mut self.choosing else { return Ok(()) };
        match choose(action, row) {
            Chosen::Open(name, opening) => {
                let (job, size) = (Job::default(), screen.size().map_err(lost)?);
                let size = (size.width, size.height);
                self.app = App::new(self.look, size, name, job.clone()).instead_of(&self.app);
                self.recall();
                self.app.show_pc(self.settings.pc);
                terminal::mouse(false).map_err(lost)?;
                self.workers.open(job, opening);
            }
            Chosen::Leave => self.quit = Some(Quit::Asked),
            Chosen::Refused(why) => drop(self.app.update(Event::Refused(why))),
        }
        Ok(())
    }

    /// Back to the list, since what was chosen cannot be opened, for this reason.
    fn choose_again(&mut self, why: String, screen: &mut Screen) -> Result<(), Error> {
        let Some((title, _)) = self.choosing else { return Ok(()) };
        let size = screen.size().map_err(lost)?;
        self.app = App::choosing(self.look, (size.width, size.height), title).instead_of(&self.app);
        self.app.update(Event::Refused(why)).into_iter().try_for_each(|effect| self.effect(effect, screen))
    }

    /// tmux may take its time: the screen does not wait for it.
    fn copy_through_tmux(&self, copying: Copying) {
        let outside = self.outside.clone();
        worker::start(move || {
            let _ = outside.send(if copying.through_tmux() {
                Outside::Event(Event::Copied(Ok(copying.what)))
            } else {
                Outside::NotByTmux(copying)
            });
        });
    }

    fn copied(&self, copying: &Copying, inside: Inside) {
        let _ = self.answers.send(Event::Copied(copying.write(inside, &mut io::stdout())));
    }

    fn draw(&mut self, screen: &mut Screen) -> Result<(), Error> {
        // The terminal may have changed before its event arrives: what is drawn always fits.
        let size = screen.size().map_err(lost)?;
        for effect in self.app.update(Event::Resize(size.width, size.height)) {
            self.effect(effect, screen)?;
        }
        screen.draw(|frame| self.app.draw(frame)).map(|_| ()).map_err(lost)
    }
}

fn lost(source: io::Error) -> Error {
    Error::Io { path: "the terminal".into(), source }
}

/// Passes on what the terminal sent. Says whether the main loop is still there.
fn send(keys: &Sender<Outside>, event: crossterm::event::Event) -> bool {
    use crossterm::event::Event as Sent;
    let event = match event {
        Sent::Key(key) => Event::Key(key),
        Sent::Mouse(mouse) => Event::Mouse(mouse),
        Sent::Paste(text) => Event::Paste(text),
        Sent::Resize(width, height) => Event::Resize(width, height),
        Sent::FocusGained | Sent::FocusLost => return true,
    };
    keys.send(Outside::Event(event)).is_ok()
}

/// How often reading keys is begun again after a panic.
const MAX_BUGS: usize = 8;

/// Passes events of the terminal on until it, or the main loop, is gone.
fn read_keys(keys: &Sender<Outside>) {
    while let Ok(event) = crossterm::event::read() {
        if !send(keys, event) {
            return;
        }
    }
    let _ = keys.send(Outside::Gone);
}

/// Starts the threads that wait for keys, after what the terminal says of itself, and for signals.
fn listen(out: &Sender<Outside>, open: Open) -> Result<(), Error> {
    let keys = out.clone();
    let failed = |source| Error::Io { path: "a thread".into(), source };
    thread::Builder::new()
        .name("keys".to_owned())
        .spawn(move || {
            // Should the main loop be gone, the next send ends this thread.
            if !open.is_empty() {
                let said = probe::listen(io::stdin(), |event| {
                    send(&keys, event);
                });
                let _ = keys.send(Outside::Said(said));
            }
            for _ in 0..MAX_BUGS {
                let Err(bug) = panics::contained(|| read_keys(&keys)) else { return };
                let _ = keys.send(Outside::Event(Event::Bug(bug)));
            }
            let _ = keys.send(Outside::Gone);
        })
        .map_err(failed)?;
    let mut signals = Signals::new([SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGTSTP]).map_err(failed)?;
    let ends = out.clone();
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                if signal == SIGTSTP {
                    let _ = ends.send(Outside::Stop);
                    continue;
                }
                let _ = ends.send(Outside::Ended(signal));
                // The main loop ends within a frame; should it hang, the terminal is given back all the same.
                thread::sleep(PATIENCE);
                terminal::restore();
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        })
        .map_err(failed)?;
    Ok(())
}
