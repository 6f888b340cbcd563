#include "http/identifiers.hpp"

#include <algorithm>

namespace scoregate::http {

namespace {

constexpr std::string_view digits = "0123456789abcdef";

// Writes `count` hexadecimal digits of `value`, lowest first (the value is random, so its order means nothing).
char* write_hex(char* out, std::uint64_t value, int count) {
    for (; count > 0; --count, value >>= 4) *out++ = digits[value & 15];
    return out;
}

bool is_lower_hex(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return digits.find(c) != std::string_view::npos; });
}

bool is_zero(std::string_view text) { return text.find_first_not_of('0') == std::string_view::npos; }

constexpr std::size_t trace_parent_size = 55;

// A later version may go on after a dash; ff is none (section 2.2.1).
bool is_trace_parent(std::string_view text) {
    if (text.size() < trace_parent_size) return false;
    const auto version = text.substr(0, 2);
    if (text.size() > trace_parent_size && (version == "00" || text[trace_parent_size] != '-')) return false;
    return is_lower_hex(version) && version != "ff" && text[2] == '-' && text[35] == '-' && text[52] == '-' &&
           is_lower_hex(text.substr(3, 32)) && is_lower_hex(text.substr(36, 16)) && is_lower_hex(text.substr(53, 2)) &&
           !is_zero(text.substr(3, 32)) && !is_zero(text.substr(36, 16));
}

// The lower four flags: 1 sampled, 2 the trace id is random.
unsigned flags_of(char digit) { return static_cast<unsigned>(digits.find(digit)); }

} // namespace

identifier_source::identifier_source() {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device(), device(), device(), device(), device()};
    random_.seed(seed);
}

guid identifier_source::make_guid() {
    const auto high = random_();
    const auto low = (random_() & ~0xfULL) | 0x8U | (high >> 60 & 0x3U); // 17th digit: variant 10xx
    guid made;
    char* out = made.bytes.data();
    out = write_hex(out, high, 8);
    *out++ = '-';
    out = write_hex(out, high >> 32, 4);
    *out++ = '-';
    *out++ = '4';
    out = write_hex(out, high >> 48, 3);
    *out++ = '-';
    out = write_hex(out, low, 4);
    *out++ = '-';
    write_hex(out, low >> 16, 12);
    made.size = made.bytes.size();
    return made;
}

trace_parent identifier_source::continue_trace(std::string_view from_client) {
    trace_parent made;
    made.size = made.bytes.size();
    if (is_trace_parent(from_client)) {
        made.continued = true;
        const bool known = from_client.starts_with("00");
        from_client = from_client.substr(0, trace_parent_size);
        std::copy(from_client.begin(), from_client.end(), made.bytes.begin());
        if (known) return made;
        made.bytes[0] = made.bytes[1] = made.bytes[53] = '0';
        made.bytes[54] = digits[flags_of(made.bytes[54]) & 3];
        return made;
    }
    char* out = made.bytes.data();
    const auto literal = [&](std::string_view text) { out = std::copy(text.begin(), text.end(), out); };
    literal("00-");
    out = write_hex(out, random_() | 1, 16);
    out = write_hex(out, random_(), 16);
    literal("-");
    out = write_hex(out, random_() | 1, 16);
    literal("-00");
    return made;
}

span_id identifier_source::make_span_id() {
    span_id made;
    made.size = made.bytes.size();
    write_hex(made.bytes.data(), random_() | 1, 16);
    return made;
}

bool trace_parent::sampled() const { return size != 0 && (flags_of(bytes[54]) & 1) != 0; }

void trace_parent::record_below(const span_id& id) {
    std::copy(id.bytes.begin(), id.bytes.end(), bytes.begin() + 36);
    bytes[54] = digits[flags_of(bytes[54]) | 1];
}

client_id clean_client_id(std::string_view from_client) {
    client_id cleaned;
    for (const char c : from_client) {
        if (cleaned.size == cleaned.bytes.size()) break;
        const bool kept =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
        if (kept) cleaned.bytes[cleaned.size++] = c;
    }
    return cleaned;
}

} // namespace scoregate::http
