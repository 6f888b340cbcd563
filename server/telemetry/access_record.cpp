#include "telemetry/access_record.hpp"

#include "base/eight_bytes.hpp"
#include "base/line_mark.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <limits>

namespace scoregate::telemetry {
namespace {

using std::chrono::nanoseconds;

// Bytes that stand for themselves inside a JSON string. DEL is none of those: a terminal acts on it.
constexpr std::array<bool, 256> plain = [] {
    std::array<bool, 256> table{};
    for (int c = 0x20; c < 0x7f; ++c) table[static_cast<std::size_t>(c)] = c != '"' && c != '\\';
    return table;
}();

constexpr std::size_t longest_escape = 6; // \u001f

// How many bytes the well-formed UTF-8 sequence at the start of `text` has (RFC 3629, section 4); 0: none starts there.
std::size_t sequence_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
    const auto within = [&](std::size_t i, unsigned low, unsigned high) { return byte(i) >= low && byte(i) <= high; };
    const auto tail = [&](std::size_t i) { return within(i, 0x80, 0xbf); };
    const auto lead = byte(0);
    if (lead >= 0xc2 && lead <= 0xdf) return tail(1) ? 2 : 0;
    if (lead == 0xe0) return within(1, 0xa0, 0xbf) && tail(2) ? 3 : 0; // shorter forms exist for less
    if (lead == 0xed) return within(1, 0x80, 0x9f) && tail(2) ? 3 : 0; // surrogates
    if (lead >= 0xe1 && lead <= 0xef) return tail(1) && tail(2) ? 3 : 0;
    if (lead == 0xf0) return within(1, 0x90, 0xbf) && tail(2) && tail(3) ? 4 : 0;
    if (lead == 0xf4) return within(1, 0x80, 0x8f) && tail(2) && tail(3) ? 4 : 0; // beyond U+10FFFF
    if (lead >= 0xf1 && lead <= 0xf3) return tail(1) && tail(2) && tail(3) ? 4 : 0;
    return 0;
}

char* put(char* at, std::string_view text) {
    std::memcpy(at, text.data(), text.size());
    return at + text.size();
}

char* put_code_unit(char* at, unsigned value) {
    constexpr std::string_view digits = "0123456789abcdef";
    at = put(at, "\\u");
    for (int shift = 12; shift >= 0; shift -= 4) *at++ = digits[value >> shift & 15];
    return at;
}

// Whether eight bytes are all plain.
bool all_plain(std::uint64_t bytes) {
    using namespace base::eight_bytes;
    return (any_high(bytes) | any_below(bytes, 0x20) | any_equal(bytes, 0x7f) | any_equal(bytes, '"') |
            any_equal(bytes, '\\')) == 0;
}

char* put_escaped(char* at, std::string_view text) {
    // Eight at a time, the last eight once more if they are not a multiple; whatever is left is looked at one by one.
    const bool has_eight = text.size() >= 8;
    for (; text.size() >= 8; text.remove_prefix(8), at += 8) {
        const auto bytes = base::eight_bytes::load(text.data());
        if (!all_plain(bytes)) break;
        std::memcpy(at, &bytes, sizeof bytes);
    }
    if (has_eight && !text.empty() && text.size() < 8) {
        const auto back = 8 - text.size();
        const auto bytes = base::eight_bytes::load(text.data() - back);
        if (all_plain(bytes)) {
            std::memcpy(at - back, &bytes, sizeof bytes);
            return at + text.size();
        }
    }
    while (!text.empty()) {
        const auto stop =
            std::find_if_not(text.begin(), text.end(), [](char c) { return plain[static_cast<unsigned char>(c)]; });
        const auto run = static_cast<std::size_t>(stop - text.begin());
        at = put(at, text.substr(0, run));
        text.remove_prefix(run);
        if (text.empty()) break;

        const auto c = static_cast<unsigned char>(text.front());
        std::size_t used = 1;
        if (c == '"' || c == '\\') {
            *at++ = '\\';
            *at++ = text.front();
        } else if (c < 0x80) {
            at = put_code_unit(at, c);
        } else if ((used = sequence_length(text)) == 0) {
            at = put(at, "\\ufffd");
            used = 1;
        } else if (c == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0) {
            at = put_code_unit(at, static_cast<unsigned char>(text[1])); // C1 controls: some terminals act on them
        } else if (const auto unit = base::line_mark(text.substr(0, used)); unit != 0) {
            at = put_code_unit(at, unit);
        } else {
            at = put(at, text.substr(0, used));
        }
        text.remove_prefix(used);
    }
    return at;
}

// With zeros in front.
char* put_digits(char* at, unsigned value, int width) {
    for (int i = width; i-- > 0; value /= 10) at[i] = static_cast<char>('0' + value % 10);
    return at + width;
}

// `2026-01-31T12:00:00.000Z`. A core writes thousands of lines a second and only the milliseconds differ.
char* put_timestamp(char* at, std::chrono::system_clock::time_point when) {
    using namespace std::chrono;
    struct second {
        sys_seconds when = sys_seconds::min();
        char text[21]; // up to and with the dot and its end
    };
    thread_local second cached;

    const auto now = floor<seconds>(when);
    if (now != cached.when) {
        const auto day = floor<days>(now);
        const year_month_day date{day};
        const hh_mm_ss time{now - day};
        char* to = put_digits(cached.text, static_cast<unsigned>(static_cast<int>(date.year())), 4);
        *to++ = '-';
        to = put_digits(to, static_cast<unsigned>(date.month()), 2);
        *to++ = '-';
        to = put_digits(to, static_cast<unsigned>(date.day()), 2);
        *to++ = 'T';
        to = put_digits(to, static_cast<unsigned>(time.hours().count()), 2);
        *to++ = ':';
        to = put_digits(to, static_cast<unsigned>(time.minutes().count()), 2);
        *to++ = ':';
        to = put_digits(to, static_cast<unsigned>(time.seconds().count()), 2);
        *to++ = '.';
        cached.when = now;
    }
    at = put(at, {cached.text, 20});
    const auto fraction = static_cast<unsigned>(duration_cast<milliseconds>(when - now).count());
    *at++ = static_cast<char>('0' + fraction / 100);
    *at++ = static_cast<char>('0' + fraction / 10 % 10);
    *at++ = static_cast<char>('0' + fraction % 10);
    *at++ = 'Z';
    return at;
}

constexpr std::size_t longest_number = std::numeric_limits<std::uint64_t>::digits10 + 1 + 4; // and ".000"

char* put_number(char* at, std::uint64_t value) {
    if (value >= 10) return std::to_chars(at, at + longest_number, value).ptr;
    *at++ = static_cast<char>('0' + value);
    return at;
}

// With three decimals.
char* put_milliseconds(char* at, nanoseconds value) {
    const auto micros = static_cast<std::uint64_t>(std::max<std::int64_t>(value.count() / 1000, 0));
    at = put_number(at, micros / 1000);
    *at++ = '.';
    *at++ = static_cast<char>('0' + micros / 100 % 10);
    *at++ = static_cast<char>('0' + micros / 10 % 10);
    *at++ = static_cast<char>('0' + micros % 10);
    return at;
}

// `,"name":`, ready to be copied.
template <std::size_t Size>
consteval std::array<char, Size + 3> key(const char (&name)[Size]) {
    std::array<char, Size + 3> made{',', '"'};
    std::copy_n(name, Size - 1, made.begin() + 2);
    made[Size + 1] = '"';
    made[Size + 2] = ':';
    return made;
}

// Writes `,"name":value` for each field that is known, without looking at the room: see `room_for`.
class line {
public:
    line(char* at, std::chrono::system_clock::time_point ts) : at_(put(at, "{\"ts\":\"")) {
        at_ = put_timestamp(at_, ts);
        *at_++ = '"';
    }

    // Whatever bytes it is made of.
    template <std::size_t Size>
    void text(const std::array<char, Size>& key, std::string_view value) {
        if (value.empty()) return;
        begin(key);
        *at_++ = '"';
        at_ = put_escaped(at_, value);
        *at_++ = '"';
    }
    // One of a few words of ours.
    template <std::size_t Size>
    void word(const std::array<char, Size>& key, std::string_view value) {
        if (value.empty()) return;
        begin(key);
        *at_++ = '"';
        at_ = put(at_, value);
        *at_++ = '"';
    }
    template <std::size_t Size>
    void number(const std::array<char, Size>& key, std::uint64_t value) {
        begin(key);
        at_ = put_number(at_, value);
    }
    template <std::size_t Size>
    void known_number(const std::array<char, Size>& key, std::uint64_t value) {
        if (value != 0) number(key, value);
    }
    template <std::size_t Size>
    void milliseconds(const std::array<char, Size>& key, nanoseconds value) {
        begin(key);
        at_ = put_milliseconds(at_, value);
    }
    template <std::size_t Size>
    void milliseconds(const std::array<char, Size>& key, std::optional<nanoseconds> value) {
        if (value) milliseconds(key, *value);
    }
    template <std::size_t Size>
    void flag(const std::array<char, Size>& key, std::optional<bool> value) {
        if (!value) return;
        begin(key);
        at_ = put(at_, *value ? "true" : "false");
    }
    char* end() {
        *at_++ = '}';
        *at_++ = '\n';
        return at_;
    }

private:
    template <std::size_t Size>
    void begin(const std::array<char, Size>& key) {
        std::memcpy(at_, key.data(), Size);
        at_ += Size;
    }

    char* at_;
};

// The fields of a line for eyes, without looking at the room: see `room_for`.
class text_line {
public:
    explicit text_line(char* at) : at_(at) {}

    void raw(std::string_view text) { at_ = put(at_, text); }
    void item(std::string_view text) { at_ = text.empty() ? put(at_, "-") : put_escaped(at_, text); }
    void number(std::uint64_t value) { at_ = put_number(at_, value); }
    void digits(unsigned value, int width) { at_ = put_digits(at_, value, width); }

    // ` name=value` if it is known.
    void word(std::string_view name, std::string_view value) {
        if (value.empty()) return;
        begin(name);
        at_ = put_escaped(at_, value);
    }
    // ` name="value"`: what may have spaces in it.
    void quoted(std::string_view name, std::string_view value) {
        if (value.empty()) return;
        begin(name);
        *at_++ = '"';
        at_ = put_escaped(at_, value);
        *at_++ = '"';
    }
    void number(std::string_view name, std::uint64_t value) {
        begin(name);
        at_ = put_number(at_, value);
    }
    void milliseconds(std::string_view name, std::optional<nanoseconds> value) {
        if (!value) return;
        begin(name);
        at_ = put_milliseconds(at_, *value);
    }
    char* end() {
        *at_++ = '\n';
        return at_;
    }

private:
    void begin(std::string_view name) {
        *at_++ = ' ';
        at_ = put(at_, name);
        *at_++ = '=';
    }

    char* at_;
};

// `[31/Jan/2026:12:00:00 +0000]`
void put_common_time(text_line& to, std::chrono::system_clock::time_point when) {
    using namespace std::chrono;
    constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const auto day = floor<days>(when);
    const year_month_day date{day};
    const hh_mm_ss time{floor<seconds>(when - day)};
    to.raw("[");
    to.digits(static_cast<unsigned>(date.day()), 2);
    to.raw("/");
    to.raw(months[static_cast<unsigned>(date.month()) - 1]);
    to.raw("/");
    to.digits(static_cast<unsigned>(static_cast<int>(date.year())), 4);
    to.raw(":");
    to.digits(static_cast<unsigned>(time.hours().count()), 2);
    to.raw(":");
    to.digits(static_cast<unsigned>(time.minutes().count()), 2);
    to.raw(":");
    to.digits(static_cast<unsigned>(time.seconds().count()), 2);
    to.raw(" +0000]");
}

std::string_view without_query(std::string_view path) { return path.substr(0, path.find('?')); }

// For the worst case, made once, so that nothing needs to look: names, punctuation, times, token, side and booleans are
// under 512 bytes together in either format, the numbers are ten.
std::size_t room_for(const access_record& of) {
    const std::string_view texts[] = {
        of.request_id, of.client_request_id, of.trace_id, of.client_ip,  of.method, without_query(of.path), of.protocol,
        of.service,    of.deployment,        of.replica,  of.tls_cipher, of.sni,    of.user_agent,          of.auth};
    std::size_t room = 512 + 10 * longest_number;
    for (const auto text : texts) room += text.size() * longest_escape;
    return room;
}

} // namespace

void append_timestamp(std::string& out, std::chrono::system_clock::time_point when) {
    char text[24];
    out.append(text, static_cast<std::size_t>(put_timestamp(text, when) - text));
}

void append_text(std::string& out, const access_record& of) {
    const auto before = out.size();
    out.resize(before + room_for(of));

    text_line to(out.data() + before);
    to.item(of.client_ip);
    to.raw(" - ");
    to.item(of.auth);
    to.raw(" ");
    put_common_time(to, of.ts);
    to.raw(" \"");
    to.item(of.method);
    to.raw(" ");
    to.item(without_query(of.path));
    to.raw(" ");
    to.item(of.protocol);
    to.raw("\" ");
    if (of.status < 1000)
        to.digits(of.status, 3);
    else
        to.number(of.status);
    to.raw(" ");
    to.number(of.bytes_out);
    to.raw(" \"-\" \"");
    to.item(of.user_agent);
    to.raw("\"");
    to.milliseconds("duration_ms", of.duration);
    to.word("fault", base::token(of.fault));
    to.word("side", base::to_string(base::row(of.fault).blame));
    to.word("service", of.service);
    to.word("deployment", of.deployment);
    to.quoted("replica", of.replica);
    if (of.model_status != 0) to.number("model_status", of.model_status);
    to.number("attempts", of.attempts);
    to.milliseconds("read_ms", of.read);
    to.milliseconds("queue_ms", of.queue);
    to.milliseconds("connect_ms", of.connect);
    to.milliseconds("first_byte_ms", of.first_byte);
    to.number("bytes_in", of.bytes_in);
    to.word("request_id", of.request_id);
    to.word("client_request_id", of.client_request_id);
    to.word("trace_id", of.trace_id);
    to.word("tls_cipher", of.tls_cipher);
    to.quoted("sni", of.sni);
    if (of.resumed) to.word("resumed", *of.resumed ? "true" : "false");
    out.resize(static_cast<std::size_t>(to.end() - out.data()));
}

void append_json(std::string& out, const access_record& of) {
    const auto path = without_query(of.path);
    const auto before = out.size();
    out.resize(before + room_for(of));

    line to(out.data() + before, of.ts);
    to.text(key("request_id"), of.request_id);
    to.text(key("client_request_id"), of.client_request_id);
    to.text(key("trace_id"), of.trace_id);
    to.text(key("client_ip"), of.client_ip);
    to.text(key("method"), of.method);
    to.text(key("path"), path);
    to.text(key("protocol"), of.protocol);
    to.text(key("service"), of.service);
    to.text(key("deployment"), of.deployment);
    to.text(key("replica"), of.replica);
    to.known_number(key("status"), of.status);
    to.word(key("fault"), base::token(of.fault));
    to.word(key("side"), base::to_string(base::row(of.fault).blame));
    to.known_number(key("model_status"), of.model_status);
    to.number(key("bytes_in"), of.bytes_in);
    to.number(key("bytes_out"), of.bytes_out);
    to.milliseconds(key("duration_ms"), of.duration);
    to.milliseconds(key("read_ms"), of.read);
    to.milliseconds(key("queue_ms"), of.queue);
    to.milliseconds(key("connect_ms"), of.connect);
    to.milliseconds(key("first_byte_ms"), of.first_byte);
    to.number(key("attempts"), of.attempts);
    to.text(key("tls_cipher"), of.tls_cipher);
    to.text(key("sni"), of.sni);
    to.flag(key("resumed"), of.resumed);
    to.text(key("user_agent"), of.user_agent);
    to.text(key("auth"), of.auth);
    out.resize(static_cast<std::size_t>(to.end() - out.data()));
}

} // namespace scoregate::telemetry
