#include "app/acme_runner.hpp"

#include "app/acme_order.hpp"
#include "config/acme.hpp"
#include "support/certificates.hpp"
#include "support/temporary_folder.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <set>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace scoregate;
using namespace scoregate::app;

namespace {

config::acme named() {
    config::acme made;
    made.directory = "https://provider.test/dir";
    made.contact = "ops@contoso.com";
    made.state_dir = "/state";
    made.leaf_domain_label = "contoso";
    made.domain_suffix = "models.test";
    return made;
}

} // namespace

TEST_CASE("what an order needs goes over the command line of the runner, and comes back") {
    auto from = named();
    from.domain = "contosoab12cd.models.test";
    auto back = parse_words(to_words(from)).value();
    CHECK(back.domain == from.domain);
    CHECK(back.challenges() == "/state/webroot");
    CHECK_FALSE(back.ca_file);
    CHECK_FALSE(back.renew_before);
    from.ca_file = "/ca.pem";
    from.renew_before = std::chrono::days{7};
    from.webroot = "/shared";
    back = parse_words(to_words(from)).value();
    CHECK(back.ca_file == from.ca_file);
    CHECK(back.renew_before == from.renew_before);
    CHECK(back.challenges() == "/shared");
    CHECK_FALSE(parse_words({"a", "b"}));
}

TEST_CASE("no other command line is a runner's") {
    char program[] = "scoregate", word[] = "serve";
    char* words[] = {program, word, nullptr};
    CHECK_FALSE(run_as_acme_runner(1, words));
    CHECK_FALSE(run_as_acme_runner(2, words));
}

TEST_CASE("names are drawn from all there are, and kept") {
    const tests::temporary_folder folder;
    auto from = named();
    from.state_dir = folder / "state";
    REQUIRE_FALSE(make_folders(from));
    from.domain = draw_domain(from);
    CHECK(config::is_drawn_from(from.domain, from));
    CHECK(draw_domain(from) != from.domain);
    CHECK_FALSE(keep_domain(from));
    std::string wrong;
    CHECK(config::read_drawn_domain(from, wrong) == from.domain);
    CHECK(wrong.empty());
}

TEST_CASE("of those that start at the same time one draws, and all have its name") {
    const tests::temporary_folder folder;
    auto from = named();
    from.state_dir = folder / "state";
    std::vector<std::future<std::pair<bool, std::string>>> starts;
    for (int i = 0; i < 4; ++i)
        starts.push_back(std::async(std::launch::async, [from]() mutable {
            const auto drawn = settle_domain(from);
            return std::pair(drawn && *drawn, from.domain);
        }));
    std::size_t drawn = 0;
    std::set<std::string> names;
    for (auto& each : starts) {
        const auto [here, name] = each.get();
        drawn += here ? 1 : 0;
        names.insert(name);
    }
    CHECK(drawn == 1);
    CHECK(names.size() == 1);
    CHECK(config::is_drawn_from(*names.begin(), from));
}

TEST_CASE("a name that is kept is never drawn over: neither one that cannot be read nor one of another label") {
    const tests::temporary_folder folder;
    auto from = named();
    from.state_dir = folder / "state";
    REQUIRE(settle_domain(from).has_value());
    const auto kept = from.domain;
    auto other = named();
    other.state_dir = from.state_dir;
    other.leaf_domain_label = "fabrikam";
    const auto refused = settle_domain(other);
    REQUIRE(refused.has_error());
    CHECK_THAT(refused.error(), Catch::Contains(kept) && Catch::Contains("--overwrite-existing-domain"));
    std::string wrong;
    CHECK(config::read_drawn_domain(from, wrong) == kept);

    std::filesystem::remove(config::drawn_domain_file(from));
    std::filesystem::create_directory(config::drawn_domain_file(from)); // root too cannot read that as a file
    const auto unread = settle_domain(from);
    REQUIRE(unread.has_error());
    CHECK_THAT(unread.error(), Catch::Contains("cannot be read"));
}

TEST_CASE("what is there of a path is the nearest folder that is") {
    const tests::temporary_folder folder;
    const auto there = std::filesystem::path(folder / "").parent_path().string();
    CHECK(there_of(folder / "a/b/c") == there);
    REQUIRE(std::filesystem::create_directories(folder / "a/b"));
    CHECK(there_of(folder / "a/b/c") == folder / "a/b");
    CHECK(there_of(folder / "a/b") == folder / "a/b");
}

TEST_CASE("the state is this user's alone, challenges are for all") {
    namespace fs = std::filesystem;
    const tests::temporary_folder folder;
    auto from = named();
    from.state_dir = folder / "state";
    from.domain = "a.test";
    from.webroot = folder / "shared";
    REQUIRE_FALSE(make_folders(from));
    REQUIRE_FALSE(make_folders(from)); // they may be there
    constexpr auto others = fs::perms::group_all | fs::perms::others_all;
    CHECK((fs::status(from.state_dir).permissions() & others) == fs::perms::none);
    CHECK((fs::status(folder / "state/a.test").permissions() & others) == fs::perms::none);
    CHECK((fs::status(*from.webroot).permissions() & fs::perms::others_exec) != fs::perms::none);
}

TEST_CASE("a runner that has ended is noticed without an order") {
    base::asio::io_context io{1};
    std::array<int, 2> pair{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) == 0);
    acme_runner one(io.get_executor(), descriptor(pair[0]), 0);
    CHECK_FALSE(one.gone());
    ::close(pair[1]);
    CHECK(one.gone());
}

TEST_CASE("where the certificate in place is not valid yet the clock is blamed, and nothing is ordered") {
    namespace fs = std::filesystem;
    const tests::temporary_folder folder;
    auto from = named();
    from.state_dir = folder / "state";
    from.domain = "a.test";
    REQUIRE_FALSE(make_folders(from));
    tests::identity_terms terms;
    terms.names = {from.domain};
    terms.not_before = std::chrono::system_clock::now() + std::chrono::hours{1};
    const auto to_come = tests::make_hierarchy(terms);
    const auto place = config::pair_of(from);
    std::ofstream(place.certificate) << to_come.certificate_pem();
    std::ofstream(place.key) << to_come.key_pem();
    fs::permissions(place.key, fs::perms::owner_read);
    bool ran = false;
    const auto done = order_certificate(from, urgency::when_due, -1, [&ran](std::string_view) { ran = true; });
    CHECK(done.what == order_result::kind::failed);
    CHECK_THAT(done.said, Catch::Contains("check this machine's clock"));
    CHECK_FALSE(ran);
}

TEST_CASE("without a certificate an order is due") {
    const tests::temporary_folder folder;
    auto from = named();
    from.state_dir = folder / "state";
    from.domain = "a.test";
    CHECK(issued_certificate(from) == nullptr);
    CHECK(is_due(nullptr, from));
}
