// (c) Sleeps outside (src/dispatch/wake.c, src/engine/consume.c, loop.c): a descriptor is armed, and an event loop sleeps on it.
// An eventfd is a count; epoll_wait is: until it is not 0 (level), or until it is written again (ET=1, edge).  A lost wake-up is a deadlock.
//  S=1 a consumer arms, sleeps, polls: the waker publishes twice, fence, looks at `want`, writes, notes.  A second waker may be stopped for ever (PARK).
//  S=2 the consumer mixes: armed once, then asleep on its futex: the way is a bit of the number.
//  S=3 the I/O thread: a producer (work bit, then `asleep`), and the kernel (CQE, fence, then whether the eventfd is watched).
//  V=0  the code                                    PASS
//  V=1  no fence in announce                        FAIL (S=1)     V=2  no look again                              FAIL (S=1, S=3)
//  V=3  reset after the announcement                FAIL (S=1)     V=4  noted before the write                     FAIL (S=1 PARK)
//  V=5  the way beside the number, not in it        FAIL (S=2)     V=6  watched after the look again               FAIL (S=3)
//  V=7  no fence between watch and the look at the CQ  FAIL (S=3)  V=8  announced after the look again             FAIL (S=3)
#include <relacy/relacy.hpp>
using namespace rl;
#ifndef V
#define V 0
#endif
#ifndef S
#define S 1
#endif
#ifndef PARK
#define PARK 0
#endif
#ifndef ET
#define ET 0
#endif
#ifndef BOUND
#define BOUND 3
#endif
enum { OUTSIDE = 1<<20 };
//@ src/dispatch/wake.c: waiter->written = true;
//@ src/dispatch/wake.c: announce(waiter, want, SQCQ__WAITER_OUTSIDE);
//@ src/dispatch/wake.c: read_event((int)sqcq__load_relaxed(&waiter->event) - 1);
//@ src/dispatch/wake.c: if ((number & SQCQ__WAITER_OUTSIDE) != 0) {
//@ src/dispatch/wake.c: sqcq__eventfd_write((int)event - 1);
//@ src/dispatch/wake.c: sqcq__store_release(&waiter->roused, number);
//@ src/engine/consume.c: sqcq__waiter_reset(waiter);
//@ src/engine/consume.c: sqcq__waiter_announce_outside(waiter, min);
//@ src/engine/consume.c: if (!may_go_on(engine, channel, min)) {
//@ src/engine/loop.c: sqcq__sleeper_clear(&engine->sleeper);
//@ src/engine/loop.c: sqcq__sleeper_reset(&engine->sleeper);
//@ src/engine/loop.c: announce(engine);
//@ src/engine/loop.c: if (!look_again(engine)) {
//@ src/engine/loop.c: error = sqcq__sleeper_poll(&engine->sleeper, timeout_ns);
struct T : test_suite<T, 3> {
  atomic<int> tail, want, number, way, roused, work, asleep, woken, cq, watched;
  rl::mutex m; rl::condition_variable_any c; int ev, edge, futex;        // guarded by m
  void before(){ tail($)=0; want($)=0; number($)=0; way($)=0; roused($)=0; work($)=0; asleep($)=0; woken($)=0; cq($)=0; watched($)=0; ev=edge=futex=0; }
  void fence(){ atomic_thread_fence(mo_seq_cst,$); }
  bool park(unsigned p){ return PARK && p==1 && rl::rand(2)==0; }
  void write_event(){ m.lock($); ev++; edge=1; c.notify_all($); m.unlock($); }
  void read_event(){ m.lock($); ev=0; m.unlock($); }
  void epoll_wait(){ m.lock($);
#if ET
    while(edge==0) c.wait(m,$); edge=0;
#else
    while(ev==0) c.wait(m,$);
#endif
    m.unlock($); }
  // ---- a consumer and its wakers
  void wake(unsigned p){
    int n=number($).load(mo_relaxed);
    if(roused($).load(mo_acquire)==n) return;
#if V==5
    bool out=way($).load(mo_relaxed);
#else
    bool out=n&OUTSIDE;
#endif
#if V==4
    roused($).store(n,mo_release);
#endif
    if(park(p)) return;
    if(out) write_event();
    else { m.lock($); futex++; c.notify_all($); m.unlock($); }
    if(park(p)) return;
#if V!=4
    roused($).store(n,mo_release);
#endif
  }
  void look_and_wake(unsigned p, int min){ int w=want($).load(mo_acquire); if(w==0 || tail($).load(mo_acquire)<w) return; wake(p); }
  void announce(int min, int out){
    int n=((number($).load(mo_relaxed)&~OUTSIDE)+1);
#if V==5
    way($).store(out,mo_relaxed); number($).store(n,mo_relaxed);
#else
    number($).store(n|(out?OUTSIDE:0),mo_relaxed);
#endif
    want($).store(min,mo_release);
#if V!=1
    fence();
#endif
  }
  bool ready(int min){ return tail($).load(mo_acquire)>=min; }
  void sleep_outside(int min){
#if V!=3
    read_event();
#endif
    announce(min,1);
#if V==3
    read_event();
#endif
    if(V==2 || !ready(min)) epoll_wait();
    want($).store(0,mo_relaxed); fence(); }
  void sleep_inside(int min){
    m.lock($); int e=futex; m.unlock($);
    announce(min,0);
    if(!ready(min)){ m.lock($); while(futex==e) c.wait(m,$); m.unlock($); }
    want($).store(0,mo_relaxed); fence(); }
  // ---- the I/O thread and its wakers
  void io(){
    int sleeps=0; bool request=false, completion=false;
    for(;;){
      if(work($).load(mo_relaxed)!=0 && work($).exchange(0,mo_seq_cst)!=0) request=true;
      if(cq($).load(mo_acquire)!=0) completion=true;
      if(request && completion) return;
      bool work_there;
#if V==6
      asleep($).store(++sleeps,mo_seq_cst); fence();
      work_there=work($).load(mo_seq_cst)!=0 || (!completion && cq($).load(mo_relaxed)!=0);
      watched($).store(1,mo_relaxed);
#elif V==8
      watched($).store(1,mo_relaxed); fence();
      work_there=work($).load(mo_seq_cst)!=0 || (!completion && cq($).load(mo_relaxed)!=0);
      asleep($).store(++sleeps,mo_seq_cst);
#else
      watched($).store(1,mo_relaxed); asleep($).store(++sleeps, V==7?mo_release:mo_seq_cst);
#if V!=7
      fence();
#endif
      work_there= V==2 ? false : work($).load(mo_seq_cst)!=0 || (!completion && cq($).load(mo_relaxed)!=0);
#endif
      if(!work_there) epoll_wait();
      watched($).store(0,mo_relaxed); asleep($).store(0,mo_relaxed); read_event(); } }
  void producer(){
    work($).fetch_or(1,mo_seq_cst);
    int s=asleep($).load(mo_seq_cst);
    if(s==0 || woken($).load(mo_acquire)==s) return;
    write_event(); woken($).store(s,mo_release); }
  void kernel(){ cq($).store(1,mo_release); fence(); if(watched($).load(mo_relaxed)) write_event(); }
  void thread(unsigned i){
#if S==3
    if(i==0) io(); else if(i==1) producer(); else kernel();
#else
    if(i==0){
      while(!ready(1)) sleep_outside(1);
      while(!ready(2)) { if(S==2) sleep_inside(2); else sleep_outside(2); } }
    else if(i==2){ for(int k=1;k<=2;k++){ tail($).store(k,mo_release); fence(); look_and_wake(i,k); } }
    else { fence(); look_and_wake(i,1); }      // as one that gives a credit back, or passes a wake on
#endif
  }
};
int main(){ test_params p; p.search_type=RAND?random_scheduler_type:sched_bound; p.context_bound=BOUND; p.iteration_count=RAND?RAND:100000000; p.execution_depth_limit=4000; bool r=simulate<T>(p); printf("armed_fd V=%d S=%d PARK=%d ET=%d BOUND=%d RAND=%d: %s iters=%u\n",V,S,PARK,ET,BOUND,RAND,r?"PASS":"FAIL",(unsigned)p.stop_iteration); return !r; }
