#include "app/dns_check.hpp"

#include "app/process.hpp"
#include "base/gate.hpp"
#include "control/name_resolver.hpp"

#include <algorithm>
#include <cstdio>
#include <set>

namespace scoregate::app {

namespace {

using ip = boost::asio::ip::address;

exit_code say(exit_code code, const std::string& sentence) {
    std::fprintf(stderr, "scoregate: %s\n", sentence.c_str());
    return code;
}

std::optional<ip> parse_ip(const std::string& text) {
    base::error_code ec;
    const auto parsed = boost::asio::ip::make_address(text, ec);
    if (ec) return std::nullopt;
    return parsed;
}

// An address among them leads nowhere but to itself.
std::set<std::string> names_of(const config::settings& settings) {
    std::set<std::string> names;
    for (const auto& each : settings.certificates) names.insert(each.cname);
    if (names.empty())
        for (const auto& service : settings.services) names.insert(service.hosts.begin(), service.hosts.end());
    std::erase_if(names, [](const std::string& each) { return parse_ip(each).has_value(); });
    return names;
}

std::string joined(const std::vector<ip>& addresses) {
    std::string text;
    for (const auto& each : addresses) text.append(text.empty() ? "" : ", ").append(each.to_string());
    return text;
}

// What is said of a name; the second: whether it leads to `wanted` alone.
std::pair<std::string, bool> judge(const control::name_answer& answer, const std::vector<ip>& wanted) {
    if (answer.what != control::name_answer::kind::found)
        return {"not yet: " + (answer.why.empty() ? "no answer" : answer.why), false};
    std::vector<ip> strange;
    for (const auto& each : answer.addresses)
        if (std::find(wanted.begin(), wanted.end(), each) == wanted.end()) strange.push_back(each);
    if (strange.empty()) return {"match: " + joined(answer.addresses), true};
    return {"mismatch: it leads to " + joined(strange) + ", not to " + joined(wanted), false};
}

base::task<> look_up(control::name_resolver& names, std::set<std::string> all, std::vector<ip> wanted, bool& matches) {
    for (const auto& each : all) {
        const auto answer = co_await names.addresses(each);
        const auto [text, match] = judge(answer, wanted);
        matches = matches && match;
        std::printf("%s: %s\n", each.c_str(), text.c_str());
    }
}

} // namespace

int check_dns(const config::source& source, const std::vector<std::string>& addresses) {
    std::vector<ip> wanted;
    for (const auto& each : addresses) {
        const auto parsed = parse_ip(each);
        if (!parsed) return say(refused, "--address " + each + " is not an IP address");
        wanted.push_back(*parsed);
    }
    const auto loaded = config::load(source);
    if (!loaded.value) {
        for (const auto& each : loaded.problems) std::fprintf(stderr, "%s\n", to_string(each).c_str());
        return say(refused, "the configuration has problems, nothing was looked up");
    }
    if (loaded.value->acme && loaded.value->acme->domain.empty())
        return say(refused, "no name has been drawn yet: a start does it, and `scoregate cert auto`");
    auto names = names_of(*loaded.value);
    if (names.empty())
        return say(refused, source.file + " has no name to look up: neither sslCname nor a service's hosts");
    base::asio::io_context loop{1};
    control::name_resolver resolver(loop.get_executor(), loaded.value->dns.servers);
    base::gate gate;
    bool matches = true;
    base::spawn(loop.get_executor(), gate, look_up(resolver, std::move(names), std::move(wanted), matches));
    gate.when_empty([&loop] { loop.stop(); });
    loop.run();
    return matches ? clean : failed;
}

} // namespace scoregate::app
