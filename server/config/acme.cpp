#include "config/acme.hpp"

#include "config/collector.hpp"
#include "config/forms.hpp"
#include "config/services_folder.hpp"

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace scoregate::config {

namespace {

bool lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

std::optional<std::string> parse_directory(std::string_view text, std::string& wrong) {
    std::string ignored;
    if (text.starts_with("https://") && parse_collector(text, ignored)) return std::string{text};
    wrong = "is not the directory of an ACME provider: write its URL, such as "
            "https://acme-v02.api.letsencrypt.org/directory";
    return {};
}

// What a provider sends its warnings to; it goes to the client's command line as one word.
std::optional<std::string> parse_contact(std::string_view text, std::string& wrong) {
    const auto fits = [](char c) {
        return lower_or_digit(c) || (c >= 'A' && c <= 'Z') ||
               std::string_view(".!#$%&'*+/=?^_`{|}~@-").find(c) != std::string_view::npos;
    };
    const auto at = text.find('@');
    if (at != 0 && at != std::string_view::npos && at + 1 < text.size() && text.size() <= 254 && text[0] != '-' &&
        std::count(text.begin(), text.end(), '@') == 1 && std::all_of(text.begin(), text.end(), fits))
        return std::string{text};
    wrong = "is not a mail address: write one without a name or mailto:, such as ops@contoso.com";
    return {};
}

// RFC 1035 2.3.1, with room for what is drawn.
std::optional<std::string> parse_label(std::string_view text, std::string& wrong) {
    constexpr std::size_t longest = 63 - drawn_characters;
    const auto fits = [](char c) { return lower_or_digit(c) || c == '-'; };
    if (!text.empty() && text.size() <= longest && text.front() != '-' && std::all_of(text.begin(), text.end(), fits))
        return std::string{text};
    wrong = "is not the beginning of a name: use 1 to 57 lower-case letters, digits and dashes, no dash first and no "
            "dot; six characters are drawn behind it";
    return {};
}

} // namespace

const form<std::string> directory_form{"directory", parse_directory};
const form<std::string> contact_form{"contact", parse_contact};
const form<std::string> label_form{"label", parse_label};

std::string drawn_domain_file(const acme& of) { return of.state_dir + "/domain"; }

std::string read_drawn_domain(const acme& of, std::string& wrong) {
    const auto file = drawn_domain_file(of);
    std::error_code unseen;
    if (!std::filesystem::exists(file, unseen) && !unseen) return {};
    std::string text;
    if (const auto why = read_file(file, true, text); !why.empty()) {
        wrong = file + ", which holds the name that was drawn, cannot be read (" + why +
                "): let scoregate read it; it is not drawn anew for that";
        return {};
    }
    text.resize(std::min(text.size(), text.find('\n')));
    return text;
}

bool is_drawn_from(std::string_view domain, const acme& from) {
    if (!from.leaf_domain_label || !from.domain_suffix) return false;
    const auto &label = *from.leaf_domain_label, &suffix = *from.domain_suffix;
    if (domain.size() != label.size() + drawn_characters + 1 + suffix.size()) return false;
    const auto drawn = domain.substr(label.size(), drawn_characters);
    return domain.starts_with(label) && std::all_of(drawn.begin(), drawn.end(), lower_or_digit) &&
           domain.substr(label.size() + drawn_characters) == '.' + suffix;
}

certificate_files pair_of(const acme& of) {
    const auto folder = of.state_dir + '/' + of.domain;
    certificate_files pair{folder + "/cert.pem", folder + "/key.pem", of.domain};
    pair.pointer = "/acme";
    pair.awaited = true;
    return pair;
}

} // namespace scoregate::config
