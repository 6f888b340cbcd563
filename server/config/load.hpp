// Reads the configuration: file, environment, command line; strict JSON with // comments; unknown and duplicate keys
// refused. All problems are collected. Blocking file reads: the control thread or start-up only.
#pragma once

#include "config/model.hpp"
#include "config/problem.hpp"
#include "config/services_folder.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace scoregate::config {

// KEY=VALUE from `--set`, or from SCOREGATE_SET_KEY=VALUE and SCOREGATE_UNLESS_SET_KEY=VALUE in the environment. Levels
// of KEY are separated by dots.
struct override_setting {
    std::string key;
    std::string value;
    std::string origin;  // what problems about it name: "--set listen.https", "SCOREGATE_SET_listen__https"
    bool yields = false; // to what the file or another override gives: SCOREGATE_UNLESS_SET_
};

struct source {
    std::string file;                        // path of the JSON file; relative paths in any value start at its folder
    std::vector<override_setting> overrides; // applied in order, later ones win: environment first, then command line;
                                             // those that yield after all others
};

struct load_result {
    std::optional<settings> value; // empty when there is any problem
    // As far as they could be read, also beside problems elsewhere: so that those of the files that they name can be
    // told with them.
    std::vector<certificate_files> certificates;
    std::vector<service> services;
    std::optional<std::string> admin_token_file;
    config::problems problems;         // all of them, in the file's order
    std::vector<std::string> warnings; // left-over settings: of TLS with allowInsecureConnections, keys with none
};

// Splits `--set` words ("KEY=VALUE"). A word without '=', or with what no key begins with before it, becomes a problem
// that does not show it: it may be a secret that a shell has put there.
std::vector<override_setting> parse_set_options(const std::vector<std::string>& words, problems& out);

// SCOREGATE_SET_a__b=v becomes a.b=v, SCOREGATE_UNLESS_SET_a__b=v one that yields; other variables are ignored.
// `environment` is a null-terminated environ.
std::vector<override_setting> environment_overrides(const char* const* environment);

// What the file holds, or why it cannot be read; and the files of the services_dir that it names.
struct file_text {
    std::string text;
    config::problems problems;
    services_folder services;
};

// `again`: for a reload. Then it must be a regular file; at the start a pipe will do, which gives what it holds once.
// `folder` is of the same source, with what it has found before.
file_text read_text(const source&, bool again, services_dir& folder);
inline file_text read_text(const source& from, bool again) {
    services_dir folder;
    return read_text(from, again, folder);
}

// Validates. Does not open the other files it names, such as certificates and keys: who uses them does, and reports in
// the same form. But reads the name that was drawn for acme.leafDomainLabel, which is part of what it says.
load_result load(const source&, const file_text&);
inline load_result load(const source& from) { return load(from, read_text(from, false)); }

// A key of the configuration, as docs/configuration.md and config/scoregate.schema.json must list it. "*" in a pattern
// stands for the name of a service or a deployment, or for the place in a list of objects; the row that ends in it
// describes the entry itself.
struct key_description {
    std::string pattern;  // e.g. "/services/*/deployments/*/replicas"
    std::string type;     // boolean | integer | number | string | array | object, with "|null" where null is allowed
    std::string fallback; // default as JSON text, "" when the key is required or has none
    bool required = false;
    std::optional<std::int64_t> minimum = {}; // of the number, or of how many entries an array or object holds
    std::optional<std::int64_t> maximum = {};
    std::string least = {};              // the minimum of a number that may be a fraction, as JSON text
    std::vector<std::string> words = {}; // the only texts allowed; empty: not a choice of words
    // What a text, an array's items or an object's names look like: see forms.hpp. "" for an array: of objects.
    std::string form = {};
    std::string unit = {}; // ms | bytes | bytes/s, "" for none
};

// Every key that load() understands, from the code that reads it: parents before children, in the order of the
// contract.
std::vector<key_description> describe_keys();

} // namespace scoregate::config
