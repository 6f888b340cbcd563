#include "app/machine.hpp"
#include "support/certificates.hpp"

#include <catch2/catch.hpp>

#include <filesystem>

using namespace scoregate;
namespace fs = std::filesystem;

namespace {

// What the kernel would show, in a folder.
struct kernel {
    app::kernel_files files() const { return {(folder.path() / "proc").string(), cgroup("").string()}; }
    fs::path cgroup(const std::string& path) const { return folder.path() / ("cgroup" + path); }
    void belongs_to(const std::string& path) {
        write("proc/self/cgroup", "1:name=systemd:/elsewhere\n0::" + path + "\n");
    }
    // Docker's way with version 1, seen from within: the host's path, of which only the own part is mounted, as the
    // root.
    void belongs_to_first_version() {
        write("proc/self/cgroup", "5:memory:/docker/c1\n4:cpu,cpuacct:/docker/c1\n1:name=systemd:/docker/c1\n0::/\n");
    }
    void limit(const std::string& path, const std::string& name, const std::string& value) {
        write("cgroup" + path + '/' + name, value + '\n');
    }
    void write(const std::string& file, const std::string& text) {
        fs::create_directories((folder.path() / file).parent_path());
        folder.write(file, text);
    }
    tests::pem_directory folder;
};

} // namespace

TEST_CASE("memory is limited by the cgroup that allows least, the own one or one above") {
    kernel at;
    at.belongs_to("/system.slice/scoregate.service");
    CHECK_FALSE(app::memory_of_cgroups(at.files())); // no such files: version 1, or none
    at.limit("/system.slice/scoregate.service", "memory.max", "max");
    at.limit("/system.slice", "memory.max", "max"); // the root of the hierarchy has none
    CHECK_FALSE(app::memory_of_cgroups(at.files()));

    const auto least = [&at](const std::string& path, std::uint64_t bytes) {
        const auto found = app::memory_of_cgroups(at.files());
        REQUIRE(found);
        CHECK(found->bytes == bytes);
        CHECK(found->file == at.cgroup(path) / "memory.max");
    };
    at.limit("/system.slice/scoregate.service", "memory.max", "1000000");
    least("/system.slice/scoregate.service", 900000);
    at.limit("/system.slice", "memory.max", "500000");
    least("/system.slice", 450000);
    at.limit("/system.slice", "memory.max", "2000000");
    least("/system.slice/scoregate.service", 900000);
    at.limit("/elsewhere", "memory.max", "1000"); // another's
    least("/system.slice/scoregate.service", 900000);
}

TEST_CASE("in a container the limit is at the root of what can be seen") {
    kernel at;
    at.limit("", "memory.max", "1000000");
    // A namespace of its own; a path of the host's that is not mounted; one outside of the namespace; no cgroup at all.
    const auto path = GENERATE("/", "/kubepods/pod1/c2", "/../other", "");
    at.belongs_to(path);
    const auto found = app::memory_of_cgroups(at.files());
    REQUIRE(found);
    CHECK(found->bytes == 900000);
}

TEST_CASE("cores are those of the least quota, its own or one above, rounded up") {
    kernel at;
    at.belongs_to("/a/b");
    const auto all = app::usable_cores(at.files());
    at.limit("/a/b", "cpu.max", "max 100000");
    at.limit("/a", "cpu.max", "100000000 100000");
    CHECK(app::usable_cores(at.files()) == all);
    at.limit("/a", "cpu.max", "50000 100000");
    CHECK(app::usable_cores(at.files()) == 1);
    if (all < 2) WARN("there is one core: not tested what limits it");
}

TEST_CASE("version 1 of cgroups limits memory and cores, too") {
    kernel at;
    at.belongs_to_first_version();
    const auto all = app::usable_cores(at.files());
    CHECK_FALSE(app::memory_of_cgroups(at.files()));
    at.limit("/memory", "memory.limit_in_bytes", "9223372036854771712"); // none
    at.limit("/cpu", "cpu.cfs_quota_us", "-1");
    at.limit("/cpu", "cpu.cfs_period_us", "100000");
    CHECK_FALSE(app::memory_of_cgroups(at.files()));
    CHECK(app::usable_cores(at.files()) == all);

    at.limit("/memory", "memory.limit_in_bytes", "1000000");
    at.limit("/memory/docker/c1", "memory.limit_in_bytes", "500000"); // where the whole hierarchy is mounted
    at.limit("/memory/docker/c2", "memory.limit_in_bytes", "1000");   // another's
    const auto found = app::memory_of_cgroups(at.files());
    REQUIRE(found);
    CHECK(found->bytes == 450000);
    CHECK(found->file == at.cgroup("/memory/docker/c1") / "memory.limit_in_bytes");

    at.limit("/cpu", "cpu.cfs_quota_us", "50000");
    CHECK(app::usable_cores(at.files()) == 1);
}
