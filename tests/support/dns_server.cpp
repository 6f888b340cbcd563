#include "support/dns_server.hpp"

#include <boost/asio/buffer.hpp>

namespace scoregate::tests {

namespace asio = boost::asio;

namespace {

constexpr unsigned type_a = 1, type_aaaa = 28, type_srv = 33;
constexpr unsigned no_error = 0, server_failure = 2, no_such_name = 3;

std::string be16(unsigned value) { return {static_cast<char>(value >> 8 & 0xff), static_cast<char>(value & 0xff)}; }
std::string be32(std::uint32_t value) { return be16(value >> 16) + be16(value & 0xffff); }

std::string encoded(const std::string& name) {
    std::string out;
    for (std::size_t at = 0; at < name.size();) {
        const auto end = std::min(name.find('.', at), name.size());
        out += static_cast<char>(end - at) + name.substr(at, end - at);
        at = end + 1;
    }
    return out + '\0';
}

} // namespace

dns_server::dns_server(asio::io_context& io) : socket_(io, {asio::ip::address_v4::loopback(), 0}) { receive(); }

void dns_server::receive() {
    socket_.async_receive_from(asio::buffer(buffer_), from_, [this](base::error_code ec, std::size_t n) {
        if (ec) return;
        const auto reply = reply_to({buffer_.data(), n});
        if (!reply.empty()) socket_.send_to(asio::buffer(reply), from_, 0, ec);
        receive();
    });
}

std::string dns_server::reply_to(std::string_view question) {
    std::size_t at = 12; // RFC 1035 4.1
    std::string name;
    while (question[at] != 0) {
        const auto length = static_cast<std::size_t>(question[at]);
        if (!name.empty()) name += '.';
        name += question.substr(at + 1, length);
        at += length + 1;
    }
    const auto type = static_cast<unsigned char>(question[at + 2]);
    ++questions[name];
    if (no_v6 && type == type_aaaa) return {};

    const auto found = zone.find(name);
    unsigned code = found == zone.end() ? no_such_name : no_error, count = 0;
    std::string records;
    if (found != zone.end()) {
        const auto& known = found->second;
        if (known.what == entry::how::is_silent || (known.silent_for_v6 && type == type_aaaa)) return {};
        if (known.what == entry::how::fails) code = server_failure;
        const auto add = [&](const std::string& content) {
            records += "\xc0\x0c" + be16(type) + be16(1) + be32(known.ttl) +
                       be16(static_cast<unsigned>(content.size())) + content;
            ++count;
        };
        for (const auto& each : known.addresses) {
            const auto address = asio::ip::make_address(each);
            if (code != no_error || type != (address.is_v4() ? type_a : type_aaaa)) continue;
            if (address.is_v4()) {
                const auto bytes = address.to_v4().to_bytes();
                add({bytes.begin(), bytes.end()});
            } else {
                const auto bytes = address.to_v6().to_bytes();
                add({bytes.begin(), bytes.end()});
            }
        }
        for (const auto& each : known.services)
            if (code == no_error && type == type_srv)
                add(be16(each.priority) + be16(each.weight) + be16(each.port) + encoded(each.target));
    }
    const unsigned flags = 0x8180 | code; // a reply, recursion desired and available
    return std::string(question.substr(0, 2)) + be16(flags) + be16(1) + be16(count) + be32(0) +
           std::string(question.substr(12, at + 5 - 12)) + records;
}

} // namespace scoregate::tests
