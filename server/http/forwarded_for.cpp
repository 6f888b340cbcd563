#include "http/forwarded_for.hpp"

#include <array>
#include <optional>

namespace scoregate::http {

namespace {

constexpr std::size_t most_hops = 32; // of any network that makes sense: a longer list is a client's

// "192.0.2.1" or "2001:db8::1", which some proxies write with brackets or a port.
std::optional<base::ip_address> parse_element(std::string_view text) {
    std::string_view port;
    if (text.starts_with('[')) {
        const auto close = text.find(']');
        if (close == std::string_view::npos) return {};
        port = text.substr(close + 1);
        text = text.substr(1, close - 1);
        if (text.find(':') == std::string_view::npos) return {};
    } else if (const auto colon = text.find(':'); colon != std::string_view::npos && colon == text.rfind(':')) {
        port = text.substr(colon);
        text = text.substr(0, colon);
    }
    const bool numeric = port.size() >= 2 && port.size() <= 6 && port.front() == ':' &&
                         port.find_first_not_of("0123456789", 1) == std::string_view::npos;
    if (!port.empty() && !numeric) return {};
    return base::parse_ip(text);
}

// The elements of the lines from the last to the first (RFC 9110 5.6.1), empty ones left out.
class elements_backwards {
public:
    explicit elements_backwards(const std::vector<field>& fields) : fields_(fields), next_(fields.size()) {}

    std::optional<std::string_view> next() {
        for (;;) {
            if (rest_.empty() && !next_line()) return {};
            const auto comma = rest_.rfind(',');
            const bool first = comma == std::string_view::npos;
            auto element = first ? rest_ : rest_.substr(comma + 1);
            rest_ = first ? std::string_view{} : rest_.substr(0, comma);
            while (element.starts_with(' ') || element.starts_with('\t')) element.remove_prefix(1);
            while (element.ends_with(' ') || element.ends_with('\t')) element.remove_suffix(1);
            if (!element.empty()) return element;
        }
    }

private:
    bool next_line() {
        while (next_ != 0)
            if (const auto& each = fields_[--next_]; each.id == field_id::forwarded_for) {
                rest_ = each.value;
                if (!rest_.empty()) return true;
            }
        return false;
    }

    const std::vector<field>& fields_;
    std::size_t next_;
    std::string_view rest_;
};

} // namespace

base::ip_address read_forwarded_for(const std::vector<field>& fields, const base::ip_address& peer,
                                    const std::vector<base::network>& trusted, std::string& chain) {
    std::array<base::ip_address, most_hops> believed; // from the peer on towards the client
    std::size_t count = 0;
    believed[count++] = peer;
    elements_backwards list(fields);
    while (count < most_hops && base::contains(trusted, believed[count - 1])) {
        const auto element = list.next();
        const auto address = element ? parse_element(*element) : std::nullopt;
        if (!address) break;
        believed[count++] = *address;
    }
    chain.clear();
    for (std::size_t i = count; i-- > 0;) {
        base::append_ip(chain, believed[i]);
        if (i != 0) chain.append(", ");
    }
    return believed[count - 1];
}

} // namespace scoregate::http
