#include "app/acme_runner.hpp"

#include "app/acme_order.hpp"
#include "config/acme.hpp"
#include "support/temporary_folder.hpp"

#include <catch2/catch.hpp>

#include <filesystem>

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
    CHECK(config::read_drawn_domain(from) == from.domain);
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

TEST_CASE("without a certificate an order is due") {
    const tests::temporary_folder folder;
    auto from = named();
    from.state_dir = folder / "state";
    from.domain = "a.test";
    CHECK(issued_certificate(from) == nullptr);
    CHECK(is_due(nullptr, from));
}
