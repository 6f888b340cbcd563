#include "auth/bearer.hpp"
#include "auth/key_file.hpp"
#include "auth/keys.hpp"
#include "auth/token_verifier.hpp"
#include "fuzz/must.hpp"
#include "fuzz/properties.hpp"
#include "support/tokens.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>
#include <variant>

namespace scoregate::fuzz {

namespace {

using namespace auth;
using nlohmann::json;

constexpr std::chrono::sys_seconds now{std::chrono::seconds(1'800'000'000)};

const tests::signing_key& signer() {
    static const tests::signing_key key(tests::key_kind::ec_p256);
    return key;
}

const token_verifier& verifier() {
    static const auto made = tests::verifier_of({&signer()});
    return *made;
}

// RFC 6750 2.1 and RFC 9110 11.4: "Bearer", spaces, b64token.
bool is_bearer_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~' || c == '+' || c == '/';
}

bool is_b64token(std::string_view text) {
    while (text.ends_with('=')) text.remove_suffix(1);
    return !text.empty() && std::all_of(text.begin(), text.end(), is_bearer_character);
}

void read_bearer(std::string_view field) {
    const auto read = parse_bearer(field);
    const auto* const found = std::get_if<std::string_view>(&read);
    if (found == nullptr) {
        must((std::get<bearer_fault>(read) == bearer_fault::missing) == field.empty(), "missing is what is not there");
        return;
    }
    must(is_b64token(*found), "a token is one word of its characters");
    must(field.ends_with(*found), "at the end of the field");
    auto before = std::string(field.substr(0, field.size() - found->size()));
    must(before.size() >= 7 && before.find_first_not_of(' ', 6) == std::string::npos, "behind spaces");
    for (char& c : before) c = static_cast<char>(c | 0x20);
    must(before.starts_with("bearer"), "behind the scheme");
}

// A file that no other process has a name for.
class unnamed_file {
public:
    explicit unnamed_file(std::string_view text) : descriptor_(::memfd_create("fuzz", MFD_CLOEXEC)) {
        must(::write(descriptor_, text.data(), text.size()) == static_cast<ssize_t>(text.size()), "memory for a file");
    }
    ~unnamed_file() { ::close(descriptor_); }
    unnamed_file(const unnamed_file&) = delete;
    unnamed_file& operator=(const unnamed_file&) = delete;
    std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

private:
    int descriptor_;
};

std::string defect_of(std::string_view text) {
    const unnamed_file file(text);
    return key_file(file.path()).defect();
}

// Another text of the same shape.
std::string masked(std::string_view text) {
    std::string made(text);
    for (char& c : made) {
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) c = 'q';
        if (c >= '0' && c <= '9') c = '7';
    }
    return made;
}

void read_key_file(std::string_view text) {
    const unnamed_file file(text);
    const key_file read(file.path());
    std::string expected(text);
    const auto white = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
    while (!expected.empty() && white(expected.back())) expected.pop_back();
    expected.erase(expected.begin(), std::find_if_not(expected.begin(), expected.end(), white));
    const bool good = text.size() <= key_file::max_size && expected.size() >= service_keys::min_key_size &&
                      expected.size() <= service_keys::max_key_size && is_b64token(expected);
    must(read.defect().empty() == good, "a key is one word of 32 to 512 characters that a client can send");
    if (!good) {
        must(defect_of(text) == defect_of(masked(text)), "what is wrong with a key does not show it");
        return;
    }
    must(read.key() == expected, "the key is what stands between white space");

    const service_keys keys(read.key(), std::nullopt);
    const auto field = "Bearer " + expected;
    const auto sent = parse_bearer(field);
    const auto* const presented = std::get_if<std::string_view>(&sent);
    must(presented != nullptr && keys.match(*presented) == key_name::primary, "whoever sends it is let in");
    for (const std::size_t at : {std::size_t{0}, expected.size() / 2, expected.size() - 1}) {
        auto other = expected;
        other[at] = static_cast<char>(other[at] ^ 1);
        must(keys.match(other) == key_name::none, "another key is another key");
    }
    must(keys.match(std::string_view(expected).substr(1)) == key_name::none, "a part of a key is none");
    must(keys.match(expected + '=') == key_name::none, "nor is more than it");
}

void read_key_set(std::string_view text) {
    const auto read = parse_key_set(text);
    must((read.value != nullptr) == read.defects.empty(), "a set is good or has defects");
    if (!read.value) return;
    const auto set = json::parse(text, nullptr, false);
    must(set.is_object() && set.contains("keys") && set["keys"].is_array(), "a JWKS is an object with a list");
    must(set["keys"].size() <= key_set::max_keys && !set["keys"].empty(), "of few keys");
    bool usable = false;
    for (const auto& each : set["keys"]) {
        must(each.is_object(), "each an object");
        must(!each.contains("kty") || each["kty"] != "oct", "none of them a shared secret");
        usable = usable || (each.contains("kty") && (each["kty"] == "RSA" || each["kty"] == "EC"));
    }
    must(usable, "one of them of a kind that signs tokens");
}

// RFC 7519, read again, once as parsers do that keep the first of repeated names and once as those that keep the last.
class claims_reader : public json::json_sax_t {
public:
    explicit claims_reader(bool keeps_first) : keeps_first_(keeps_first) {}
    json made;

    bool null() override { return value(nullptr); }
    bool boolean(bool v) override { return value(v); }
    bool number_integer(number_integer_t v) override { return value(v); }
    bool number_unsigned(number_unsigned_t v) override { return value(v); }
    bool number_float(number_float_t v, const string_t&) override { return value(v); }
    bool string(string_t& v) override { return value(v); }
    bool binary(binary_t&) override { return false; }
    bool start_object(std::size_t) override { return open(json::object()); }
    bool start_array(std::size_t) override { return open(json::array()); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }
    bool key(string_t& v) override {
        names_.back() = v;
        return true;
    }
    bool parse_error(std::size_t, const std::string&, const json::exception&) override { return false; }

private:
    bool open(json v) {
        open_.push_back(std::move(v));
        names_.emplace_back();
        return true;
    }
    bool close() {
        auto done = std::move(open_.back());
        open_.pop_back();
        names_.pop_back();
        return value(std::move(done));
    }
    bool value(json v) {
        if (open_.empty()) {
            made = std::move(v);
        } else if (open_.back().is_array()) {
            open_.back().push_back(std::move(v));
        } else if (!keeps_first_ || !open_.back().contains(names_.back())) {
            open_.back()[names_.back()] = std::move(v);
        }
        return true;
    }

    bool keeps_first_;
    std::vector<json> open_;
    std::vector<std::string> names_;
};

bool is_for(const json& claims, const char* name, const std::string& wanted) {
    const auto found = claims.find(name);
    if (found == claims.end()) return false;
    if (*found == wanted) return true;
    return found->is_array() && std::find(found->begin(), found->end(), json(wanted)) != found->end();
}

void judge(std::string_view text, bool keeps_first) {
    claims_reader reader(keeps_first);
    must(json::sax_parse(text, &reader) && reader.made.is_object(), "claims are an object");
    const auto& claims = reader.made;
    must(claims.contains("iss") && claims["iss"] == "https://login.contoso.com", "of the issuer");
    must(is_for(claims, "aud", "https://ml.azure.com"), "for the audience");
    must(is_for(claims, "service", "iris"), "for the service");
    const auto seconds = static_cast<double>(now.time_since_epoch().count());
    must(claims.contains("exp") && claims["exp"].is_number() && claims["exp"].get<double>() + 60 > seconds - 1,
         "not expired");
    for (const auto* name : {"nbf", "iat"})
        must(!claims.contains(name) || (claims[name].is_number() && claims[name].get<double>() <= seconds + 61),
             "valid already");
}

// Header and claims, divided by a line's end, are signed as they are.
void judge_claims(std::string_view text) {
    const auto end = text.find('\n');
    if (end == std::string_view::npos) return;
    const auto head = text.substr(0, end), claims = text.substr(end + 1);
    const auto signed_token = signer().sign_texts(head, claims);
    const auto verified = verifier().verify(signed_token, now);
    if (!verified) return;
    must(signed_token.size() <= token_verifier::max_token_size, "no token is as long as that");
    for (const bool keeps_first : {false, true}) {
        claims_reader header(keeps_first);
        must(json::sax_parse(head, &header) && header.made.is_object() && header.made.contains("alg") &&
                 header.made["alg"] == "ES256" && !header.made.contains("crit"),
             "the header says how it is signed");
        judge(claims, keeps_first);
    }
    must(verified->good_until > now, "good for a time yet");

    // One character changed anywhere is another token, and nobody has signed that.
    auto forged = signed_token;
    const auto at = claims.size() * 7919 % forged.size();
    forged[at] = forged[at] == 'A' ? 'B' : 'A';
    // The last one of a part may carry bits that are not used, and is then refused as well.
    must(forged == signed_token || !verifier().verify(forged, now), "nothing of a token can be changed");
}

} // namespace

void token(input bytes) {
    if (bytes.empty()) return;
    const std::string_view rest(reinterpret_cast<const char*>(bytes.data()) + 1, bytes.size() - 1);
    switch (bytes.front()) {
    case 'B': read_bearer(rest); break;
    case 'K': read_key_file(rest); break;
    case 'J': read_key_set(rest); break;
    case 'C': judge_claims(rest); break;
    default: must(!verifier().verify(rest, now), "what the issuer has not signed is no token");
    }
}

} // namespace scoregate::fuzz
