//! Asking the person at the keyboard.

use secrecy::SecretString;

use crate::fleet::Prompts;
use crate::report::Text;
use crate::secret::Secrets;
use crate::transport::{Prompt, Question};

/// Asks on the terminal; answers nothing where there is none.
pub(super) struct Terminal {
    pub(super) passwords: bool,
    pub(super) become_password: Option<String>,
    /// What is answered is masked in everything shown.
    pub(super) secrets: Secrets,
}

impl Prompt for Terminal {
    fn answer(&self, question: &Question) -> Option<SecretString> {
        let text = match question {
            Question::Passphrase { key, attempt } => format!("{}passphrase of {}: ", again(*attempt), key.display()),
            Question::Password { login, attempt } => format!("{}password of {login}: ", again(*attempt)),
            Question::Challenge { login, text, .. } => format!("{login}: {text}: "),
        };
        let answer = asked(&text).ok()?;
        self.secrets.know(&answer);
        Some(SecretString::from(answer))
    }

    fn allows_passwords(&self) -> bool {
        self.passwords
    }
}

impl Prompts for Terminal {
    fn become_password(&self) -> Option<String> {
        self.become_password.clone()
    }
}

/// Asks for what is not to be seen while it is typed. What a host wants to have asked is made fit to be shown.
pub(super) fn asked(question: &str) -> std::io::Result<String> {
    rpassword::prompt_password(Text::line(question).as_str())
}

fn again(attempt: u8) -> &'static str {
    if attempt > 1 { "that was wrong; " } else { "" }
}
