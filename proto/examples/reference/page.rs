//! The reference page, made of the .proto files' comments. Decides how it looks, and what lacks a comment; touches no file.

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What stands above what is generated.
const HEAD: &str = include_str!("head.md");

/// The files that are described, each with what its API is for.
const FILES: [&str; 2] = ["muster/v1/muster.proto", "muster/worker/v1/site.proto"];

/// Numbers of fields in descriptors, of which the paths of comments are made.
mod path {
    pub(super) const MESSAGE: i32 = 4;
    pub(super) const ENUM: i32 = 5;
    pub(super) const SERVICE: i32 = 6;
    pub(super) const FIELD_OF_MESSAGE: i32 = 2;
    pub(super) const MESSAGE_OF_MESSAGE: i32 = 3;
    pub(super) const ENUM_OF_MESSAGE: i32 = 4;
    pub(super) const ONEOF_OF_MESSAGE: i32 = 8;
    pub(super) const VALUE_OF_ENUM: i32 = 2;
    pub(super) const METHOD_OF_SERVICE: i32 = 2;
}

/// The page and whatever has no comment.
pub(crate) struct Reference {
    /// Markdown.
    pub(crate) page: String,
    /// Names without a comment, in the order of the files.
    pub(crate) uncommented: Vec<String>,
}

/// Makes the page.
pub(crate) fn reference(descriptors: &[u8]) -> Reference {
    let set = FileDescriptorSet::decode(descriptors).expect("the descriptors of this build");
    let mut writer = Writer { page: HEAD.to_owned(), uncommented: Vec::new() };
    for name in FILES {
        let file = set.file.iter().find(|file| file.name() == name).expect("a file of this build");
        writer.file(file);
    }
    Reference { page: writer.page, uncommented: writer.uncommented }
}

struct Writer {
    page: String,
    uncommented: Vec<String>,
}

/// The comments of one file, by path.
type Comments<'f> = BTreeMap<&'f [i32], &'f str>;

impl Writer {
    fn line(&mut self, text: &str) {
        self.page.push_str(text);
        self.page.push('\n');
    }

    /// The comment of what is called so; noted where there is none.
    fn comment(&mut self, comments: &Comments<'_>, path: &[i32], name: &str) -> String {
        match comments.get(path) {
            Some(comment) if !comment.trim().is_empty() => paragraph(comment),
            Some(_) | None => {
                self.uncommented.push(name.to_owned());
                String::new()
            }
        }
    }

    fn file(&mut self, file: &FileDescriptorProto) {
        let info = file.source_code_info.as_ref().expect("the build keeps comments");
        let comments: Comments<'_> =
            info.location.iter().map(|location| (location.path.as_slice(), location.leading_comments())).collect();
        let package = file.package();
        self.line(&format!("\n## {package}"));
        for (at, service) in (0..).zip(&file.service) {
            let name = format!("{package}.{}", service.name());
            self.heading(3, &name);
            let comment = self.comment(&comments, &[path::SERVICE, at], &name);
            self.line(&format!("\n{comment}\n"));
            self.line("| method | takes | gives | |\n|---|---|---|---|");
            for (place, method) in (0..).zip(&service.method) {
                let of_it = format!("{name}.{}", method.name());
                let comment = self.comment(&comments, &[path::SERVICE, at, path::METHOD_OF_SERVICE, place], &of_it);
                let stream = |is: bool| if is { "stream of " } else { "" };
                self.line(&format!(
                    "| `{}` | {}{} | {}{} | {} |",
                    method.name(),
                    stream(method.client_streaming()),
                    link(method.input_type()),
                    stream(method.server_streaming()),
                    link(method.output_type()),
                    cell(&comment)
                ));
            }
        }
        for (at, message) in (0..).zip(&file.message_type) {
            self.message(&comments, &[path::MESSAGE, at], package, message);
        }
        for (at, of) in (0..).zip(&file.enum_type) {
            self.enumeration(&comments, &[path::ENUM, at], package, of);
        }
    }

    fn heading(&mut self, level: usize, name: &str) {
        self.line(&format!("\n{} <a id=\"{}\"></a>{name}", "#".repeat(level), anchor(name)));
    }

    fn message(&mut self, comments: &Comments<'_>, at: &[i32], within: &str, message: &DescriptorProto) {
        let name = format!("{within}.{}", message.name());
        self.heading(3, &name);
        let comment = self.comment(comments, at, &name);
        self.line(&format!("\n{comment}\n"));
        if !message.field.is_empty() {
            self.line("| no. | field | type | |\n|---|---|---|---|");
        }
        for (place, field) in (0..).zip(&message.field) {
            let of_it = format!("{name}.{}", field.name());
            let comment = self.comment(comments, &[at, &[path::FIELD_OF_MESSAGE, place]].concat(), &of_it);
            let (number, kind) = (field.number(), kind(field, message));
            self.line(&format!("| {number} | `{}` | {kind} | {} |", field.name(), cell(&comment)));
        }
        // A oneof that is not one of proto3's optional fields.
        for (place, oneof) in (0_i32..).zip(&message.oneof_decl) {
            let is_own = message.field.iter().any(|field| field.oneof_index == Some(place) && !field.proto3_optional());
            if is_own {
                let of_it = format!("{name}.{}", oneof.name());
                let comment = self.comment(comments, &[at, &[path::ONEOF_OF_MESSAGE, place]].concat(), &of_it);
                self.line(&format!("\nOne of `{}`: {comment}", oneof.name()));
            }
        }
        for (place, nested) in (0..).zip(&message.nested_type) {
            self.message(comments, &[at, &[path::MESSAGE_OF_MESSAGE, place]].concat(), &name, nested);
        }
        for (place, nested) in (0..).zip(&message.enum_type) {
            self.enumeration(comments, &[at, &[path::ENUM_OF_MESSAGE, place]].concat(), &name, nested);
        }
    }

    fn enumeration(&mut self, comments: &Comments<'_>, at: &[i32], within: &str, of: &EnumDescriptorProto) {
        let name = format!("{within}.{}", of.name());
        self.heading(3, &name);
        let comment = self.comment(comments, at, &name);
        self.line(&format!("\n{comment}\n"));
        self.line("| no. | value | |\n|---|---|---|");
        for (place, value) in (0..).zip(&of.value) {
            // The value that every enum begins with stands for "not said" in all of them.
            let comment = if value.number() == 0 && value.name().ends_with("_UNSPECIFIED") {
                comments.get([at, &[path::VALUE_OF_ENUM, place]].concat().as_slice()).map_or_else(
                    || "Not said.".to_owned(),
                    |comment| if comment.trim().is_empty() { "Not said.".to_owned() } else { paragraph(comment) },
                )
            } else {
                let of_it = format!("{name}.{}", value.name());
                self.comment(comments, &[at, &[path::VALUE_OF_ENUM, place]].concat(), &of_it)
            };
            self.line(&format!("| {} | `{}` | {} |", value.number(), value.name(), cell(&comment)));
        }
    }
}

/// A comment's lines as they stand, without their margin.
fn paragraph(comment: &str) -> String {
    let lines: Vec<&str> = comment.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect();
    lines.join("\n").trim().to_owned()
}

/// A comment in a table's cell.
fn cell(comment: &str) -> String {
    comment.replace('\n', " ").replace('|', "\\|")
}

fn anchor(name: &str) -> String {
    name.to_lowercase().replace('.', "-")
}

fn link(type_name: &str) -> String {
    let name = type_name.trim_start_matches('.');
    let short = name.rsplit('.').next().unwrap_or(name);
    format!("[`{short}`](#{})", anchor(name))
}

fn kind(field: &FieldDescriptorProto, message: &DescriptorProto) -> String {
    let mut kind = String::new();
    if field.label() == Label::Repeated {
        kind.push_str("repeated ");
    } else if field.proto3_optional() {
        kind.push_str("optional ");
    } else if let Some(oneof) = field.oneof_index.and_then(|at| message.oneof_decl.get(usize::try_from(at).ok()?)) {
        // Writing to a text can't fail.
        let _ = write!(kind, "one of `{}`: ", oneof.name());
    }
    if matches!(field.r#type(), Type::Message | Type::Enum) {
        kind + &link(field.type_name())
    } else {
        kind + &format!("`{}`", field.r#type().as_str_name().trim_start_matches("TYPE_").to_lowercase())
    }
}
