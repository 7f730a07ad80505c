// (d) Own lanes (src/mpsc/own.h, own.c; act.c stop()): one lane, two producers that have it one after the other (open, RQ requests, close; the free list is one word), the I/O thread drains, is told
//  to stop, closes. Every accepted request is drained exactly once, none after; slots and the ring's producer side are plain memory (a race is a failure).
//  V=0 the code                                              PASS   V=1 "inside" stored relaxed                  FAIL
//  V=2 "closed" stored relaxed                               FAIL   V=3 the producer's look relaxed              FAIL
//  V=4 the I/O thread's look only acquire                    FAIL   V=5 V=14, "outside" stored relaxed           FAIL
//  V=6 a lane that is not open is not closed                 FAIL   V=7 one with somebody inside is taken        FAIL
//  V=8 "outside" before the work bit                         FAIL   V=9 closing gives the lane on relaxed        FAIL (race)
//  V=10 fences in place of sequentially consistent flags     PASS   V=11 V=10, membarrier for the producer's     PASS
//  V=12 drain, then take, no drain after                     FAIL   V=13 the work bit by a relaxed RMW           FAIL
//  V=14 V=8, and the bit set again by whoever takes the lane PASS   (With V=0 a relaxed "outside" passes too: relacy lets no store overtake the RMW before it. A processor may.)
//  V=15 the work bit only set where it is clear              FAIL
#include <relacy/relacy.hpp>
using namespace rl;
#ifndef V
#define V 0
#endif
#ifndef RQ
#define RQ 1
#endif
#ifndef BOUND
#define BOUND 4
#endif
enum { SLOTS = 4, FENCES = V==10||V==11, AFTER = V==5||V==8||V==14 };
//@ src/mpsc/own.h: return sqcq__load_acquire(&lane->word) ==
//@ src/mpsc/own.h: sqcq__store_release(&lane->lane.claim, SQCQ__CLAIM_FREE);
//@ src/mpsc/own.h: if (!sqcq__own_is_open(lane, handle))
//@ src/mpsc/own.h: sqcq__store_seq(&lane->lane.claim, SQCQ__CLAIM_HELD);
//@ src/mpsc/own.h: if (sqcq__load_seq(&lane->closed) != 0) {
//@ src/mpsc/own.h: sqcq__lane_commit(&lane->lane);
//@ src/mpsc/own.h: sqcq__or_seq(&own->work, bit);
//@ src/mpsc/own.c: sqcq__store_release(&lane->word, sqcq__word(generation, SQCQ__OWN_OPEN));
//@ src/mpsc/own.c: if (!sqcq__cas_acq_rel(&lane->word, &expected, sqcq__word(generation, SQCQ__OWN_FREE)))
//@ src/mpsc/own.c: sqcq__freelist_put(&own->free, &index, 1);
//@ src/mpsc/own.c: sqcq__store_seq(&own->lanes[i].closed, 1);
//@ src/mpsc/own.c: if (lane->taken || sqcq__load_seq(&lane->lane.claim) != SQCQ__CLAIM_FREE)
//@ src/engine/act.c: bool own = sqcq__own_stop(&engine->own);
//@ src/engine/act.c: io->sealed = shared && own;
//@ src/engine/act.c: sqcq__turn_drain(engine);
struct T : test_suite<T, 3> {
  atomic<int> inside, closed, tail, head, work, stopping, idle; rl::var<int> next, slot[SLOTS];
  int accepted[2], done[2]; bool over, late;
  void before(){ inside($)=0; closed($)=0; tail($)=0; head($)=0; work($)=0; stopping($)=0; idle($)=1; next($)=0; for(int i=0;i<SLOTS;i++) slot[i]($)=-1; for(int i=0;i<2;i++) accepted[i]=done[i]=0; over=late=false; }
  void request(int p){
    if(stopping($).load(mo_relaxed)) return;
    inside($).store(1, V==1||FENCES?mo_relaxed:mo_seq_cst);
    if(V==10) atomic_thread_fence(mo_seq_cst,$);
    if(!closed($).load(V==3||FENCES?mo_relaxed:mo_seq_cst)){
      int t=next($);
      if(t-head($).load(mo_acquire)<SLOTS){ slot[t%SLOTS]($)=p; next($)=t+1; tail($).store(t+1,mo_release); if(!AFTER&&(V!=15||!work($).load(mo_relaxed))) work($).fetch_or(1,V==13?mo_relaxed:mo_seq_cst); accepted[p]++; if(over) late=true; } }
    inside($).store(0, V==5?mo_relaxed:mo_release);
    if(AFTER) work($).fetch_or(1,mo_seq_cst); }
  int h;
  void drain(){ if(work($).load(mo_relaxed)==0) return; work($).exchange(0,mo_seq_cst); int t;
    while((t=tail($).load(mo_acquire))!=h){ int p=slot[h%SLOTS]($); h++; head($).store(h,mo_release); done[p]++; } }
  void thread(unsigned i){
    if(i<2){ int one=1; if(!idle($).compare_exchange_strong(one,0,mo_acquire,mo_relaxed)) return;
      for(int r=0;r<RQ;r++) request(i);
      idle($).store(1, V==9?mo_relaxed:mo_release); return; }
    h=0; drain(); stopping($).store(1,mo_relaxed);
    bool shut=false, taken=false; linear_backoff b;
    for(;;){ drain();
      if(!shut){ shut=true; if(V!=6||idle($).load(mo_relaxed)==0) closed($).store(1, V==2||FENCES?mo_relaxed:mo_seq_cst);
        if(V==10) atomic_thread_fence(mo_seq_cst,$); if(V==11) rl::rl_FlushProcessWriteBuffers($); }
      if(!taken&&(V==7||!inside($).load(V==4||FENCES?mo_acquire:mo_seq_cst))){ taken=true; if(V==5||V==14) work($).fetch_or(1,mo_seq_cst); }
      if(V!=12) drain();
      if(taken) break; b.yield($); }
    over=true; }
  void after(){ RL_ASSERT(!late); for(int i=0;i<2;i++) RL_ASSERT(accepted[i]==done[i]); }
};
int main(){ test_params p; p.search_type=RAND?random_scheduler_type:sched_bound; p.context_bound=BOUND; p.iteration_count=RAND?RAND:100000000; p.execution_depth_limit=4000; bool r=simulate<T>(p); printf("own_lane V=%d RQ=%d BOUND=%d RAND=%d: %s iters=%u\n",V,RQ,BOUND,RAND,r?"PASS":"FAIL",(unsigned)p.stop_iteration); return !r; }
