#include "telemetry/access_record.hpp"

#include "base/eight_bytes.hpp"

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
    at = put(at, "\\u00");
    *at++ = digits[value >> 4];
    *at++ = digits[value & 15];
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
        } else {
            at = put(at, text.substr(0, used));
        }
        text.remove_prefix(used);
    }
    return at;
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
        const auto digits = [](char* to, unsigned value, int width) {
            for (int i = width; i-- > 0; value /= 10) to[i] = static_cast<char>('0' + value % 10);
            return to + width;
        };
        char* to = digits(cached.text, static_cast<unsigned>(static_cast<int>(date.year())), 4);
        *to++ = '-';
        to = digits(to, static_cast<unsigned>(date.month()), 2);
        *to++ = '-';
        to = digits(to, static_cast<unsigned>(date.day()), 2);
        *to++ = 'T';
        to = digits(to, static_cast<unsigned>(time.hours().count()), 2);
        *to++ = ':';
        to = digits(to, static_cast<unsigned>(time.minutes().count()), 2);
        *to++ = ':';
        to = digits(to, static_cast<unsigned>(time.seconds().count()), 2);
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
        digits(value);
    }
    template <std::size_t Size>
    void known_number(const std::array<char, Size>& key, std::uint64_t value) {
        if (value != 0) number(key, value);
    }
    template <std::size_t Size>
    void milliseconds(const std::array<char, Size>& key, nanoseconds value) {
        begin(key);
        const auto micros = static_cast<std::uint64_t>(std::max<std::int64_t>(value.count() / 1000, 0));
        digits(micros / 1000);
        *at_++ = '.';
        *at_++ = static_cast<char>('0' + micros / 100 % 10);
        *at_++ = static_cast<char>('0' + micros / 10 % 10);
        *at_++ = static_cast<char>('0' + micros % 10);
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
    void digits(std::uint64_t value) {
        if (value < 10)
            *at_++ = static_cast<char>('0' + value);
        else
            at_ = std::to_chars(at_, at_ + longest_number, value).ptr;
    }

    char* at_;
};

} // namespace

void append_json(std::string& out, const access_record& of) {
    const auto path = of.path.substr(0, of.path.find('?'));
    const std::string_view texts[] = {
        of.request_id, of.client_request_id, of.trace_id, of.client_ip,  of.method, path,          of.protocol,
        of.service,    of.deployment,        of.replica,  of.tls_cipher, of.sni,    of.user_agent, of.auth};
    // Room for the worst case is made once, so that nothing below needs to look: names, punctuation, ts, token, side
    // and booleans are under 512 bytes together, the numbers are ten.
    std::size_t room = 512 + 10 * longest_number;
    for (const auto text : texts) room += text.size() * longest_escape;
    const auto before = out.size();
    out.resize(before + room);

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
