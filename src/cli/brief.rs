//! Shorter help. Commands that only talk to the servers accept all settings of `serve`, so that one environment suits
//! every command. Many of these settings change nothing there, and their help is hidden.

use clap::Command;

/// The commands that serve, and the one that checks their settings.
const SERVING: [&str; 5] = ["serve", "dev", "check", "eraser", "archive"];
/// The settings that only these commands use, by their flags. An entry with a hyphen at its end is a prefix.
const OF_SERVING: [&str; 25] = [
    "listen",
    "admin-listen",
    "origins",
    "trusted-proxies",
    "sockets",
    "sockets-per-user",
    "followers",
    "followers-per-user",
    "connections",
    "heartbeat",
    "presence-",
    "conversations",
    "conversations-per-user",
    "add-strangers",
    "registration",
    "overload-wait",
    "drain-delay",
    "argon2-",
    "web",
    "otlp-",
    "service-name",
    "traces-",
    "tls-",
    "limit-",
    "export-deadline",
];

/// Hides the settings of serving commands in the help of all other commands, which still accept them.
pub(super) fn brief(command: Command) -> Command {
    command.mut_subcommands(|command| match SERVING.contains(&command.get_name()) {
        true => command,
        false => without(command),
    })
}

fn without(command: Command) -> Command {
    let command = command.mut_args(|argument| {
        // A flag of the command itself is not from the environment, as `--limit` of `services add` is not.
        let is_of_serving = argument.get_env().is_some() && argument.get_long().is_some_and(is_of_serving);
        if is_of_serving { argument.hide(true) } else { argument }
    });
    command.mut_subcommands(without)
}

fn is_of_serving(flag: &str) -> bool {
    OF_SERVING.iter().any(|one| if one.ends_with('-') { flag.starts_with(one) } else { flag == *one })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::command::Cli;

    #[test]
    fn only_commands_that_serve_show_the_settings_of_serving() {
        let help = |path: &[&str]| {
            let mut command = brief(Cli::command());
            let mut at = &mut command;
            for name in path {
                at = at.find_subcommand_mut(name).expect("a command");
            }
            at.render_long_help().to_string()
        };
        let (serve, show) = (help(&["serve"]), help(&["users", "show"]));
        for flag in OF_SERVING {
            let flag = if flag.ends_with('-') { format!("--{flag}") } else { format!("--{flag} <") };
            assert!(serve.contains(&flag) && !show.contains(&flag), "{flag}");
        }
        assert!(show.contains("--nats-url") && show.contains("--streams"));
        assert!(help(&["check"]).contains("--listen"));
        assert!(help(&["services", "add"]).contains("--limit"));
    }
}
